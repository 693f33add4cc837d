package systemd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/failpoint"
	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// stop ends the whole unit and notes how its main process ended. The manager does the stages that the unit file says: the URL, the signal, the kill.
func (d *Driver) stop(ctx context.Context, step spec.Step) error {
	f, l, err := d.findOne(ctx, step.Name)
	if err != nil || !f.ours() {
		return err
	}
	if !f.alive() {
		if f.restarting && step.Instance == f.noted().id() {
			return d.cancelRestart(ctx, l, f)
		}
		return nil
	}
	if err := drivers.CheckInstance(step, f.observed()); err != nil {
		return err
	}
	if _, err := drivers.Signal(step.Stop.Signal); err != nil {
		return err
	}
	if err := d.takeOver(f, step); err != nil {
		return err
	}
	next := f.noted()
	next.Asked = next.id()
	if err := d.notes.write(f.name, next); err != nil {
		return err
	}
	f.note = &next
	failpoint.Hit(failpoint.StopIntended)
	said, err := d.endUnit(ctx, l, f, step.Stop)
	if err != nil {
		return err
	}
	failpoint.Hit(failpoint.StopGone)
	if err := d.awaitEmpty(ctx, f); err != nil {
		return err
	}
	return d.noteStop(f, said)
}

// id is the noted instance's, empty where there is none.
func (n note) id() string {
	if n.Instance == nil {
		return ""
	}
	return n.Instance.ID
}

// noteStop notes how the main process ended, as the manager told meanwhile: it forgets that now.
func (d *Driver) noteStop(f *finding, said facts) error {
	next := f.noted()
	if next.Instance == nil {
		return nil
	}
	i := *next.Instance
	next.Instance = &i
	if i.Exit == nil {
		i.Exit = exitOf(said)
		i.Exit.Asked, i.Exit.OOMKilled = true, false
		next.Ended = max(1, procfs.SinceBoot()-max(0, time.Since(i.Exit.At)))
	}
	if err := d.notes.write(f.name, next); err != nil {
		return err
	}
	failpoint.Hit(failpoint.StopRecorded)
	return nil
}

// endUnit has the manager stop a unit and waits for the end, which comes no later than how says.
func (d *Driver) endUnit(ctx context.Context, l *link, f *finding, how spec.Stop) (facts, error) {
	loaded := f.stamp().Spec.Stop
	restore, err := d.stopOtherwise(ctx, l, f, loaded, how)
	if err != nil {
		return facts{}, err
	}
	defer restore()
	hurrying, cancel := context.WithCancel(ctx)
	defer cancel()
	if how.GracePeriod < loaded.GracePeriod {
		go d.hurry(hurrying, l, f.unit, how)
	}
	o, err := l.job(ctx, "StopUnit", f.unit)
	switch {
	case said(err, "NoSuchUnit"):
		return facts{}, nil
	case err != nil:
		return facts{}, err
	case o.result != "done":
		return facts{}, fmt.Errorf("stop unit %s: the job ended as %q: %w", f.unit, o.result, drivers.ErrMoved)
	}
	return o.facts, nil
}

// hurry cuts the stages of a stop short: a grace period after each began, what it waits for is killed.
func (d *Driver) hurry(ctx context.Context, l *link, unit string, how spec.Stop) {
	grace := max(how.GracePeriod.D(), time.Millisecond)
	t := time.NewTimer(grace)
	defer t.Stop()
	stages := 1
	if how.URL != "" {
		stages = 2
	}
	for n := range stages {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		who := "all"
		if n < stages-1 {
			who = "control" // the request to the URL: the manager goes on to the signal
		}
		_ = l.call(ctx, "KillUnit", unit, who, int32(unix.SIGKILL)).Store() // one that has ended needs none
		t.Reset(grace)
	}
}

// cancelRestart stops a unit that has ended and that the manager is about to start again.
func (d *Driver) cancelRestart(ctx context.Context, l *link, f *finding) error {
	if _, err := l.job(ctx, "StopUnit", f.unit); err != nil && !said(err, "NoSuchUnit") {
		return err
	}
	return nil
}

// takeOver notes in the stamp whom the daemon is taken from: that run would start it again at once.
func (d *Driver) takeOver(f *finding, step spec.Step) error {
	if step.Owner.TakenFrom == "" || f.stamp().Owner.TakenFrom == step.Owner.TakenFrom {
		return nil
	}
	c := *f.stamp()
	c.Owner.TakenFrom = step.Owner.TakenFrom
	return d.restamp(f, &c)
}

// reload makes the main process reread its files.
func (d *Driver) reload(ctx context.Context, step spec.Step) error {
	f, l, err := d.findOne(ctx, step.Name)
	if err != nil {
		return err
	}
	if err := drivers.CheckInstance(step, f.observed()); err != nil {
		return err
	}
	if f.state != spec.Running {
		return fmt.Errorf("there is no process to reload: %w", drivers.ErrMoved)
	}
	return drivers.Reload(ctx, &step.Want.Spec, func(name spec.Signal) error {
		signal, err := drivers.Signal(name)
		if err != nil {
			return err
		}
		err = l.call(ctx, "KillUnit", f.unit, "main", int32(signal)).Store()
		if said(err, "NoSuchProcess") || said(err, "NoSuchUnit") {
			return fmt.Errorf("its main process ended meanwhile: %w", errors.Join(drivers.ErrMoved, err))
		}
		return err
	})
}

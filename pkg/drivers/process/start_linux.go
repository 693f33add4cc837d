package process

import (
	"context"
	"errors"
	"fmt"
	"time"

	"reconciler.dev/reconciler/internal/failpoint"
	"reconciler.dev/reconciler/internal/logfile"
	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/internal/spawn"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// start starts the daemon where no process of it lives.
func (d *Driver) start(ctx context.Context, step spec.Step) error {
	select {
	case d.starts <- struct{}{}:
		defer func() { <-d.starts }()
	case <-ctx.Done():
		return ctx.Err()
	}
	f, err := d.settleTree(step.Name, noMarks) // Make finds what stands in the way
	if err != nil {
		return err
	}
	old := f.rec
	if f.alive && old.Stamp.Digest == step.Want.Digest && old.Instance.Generation == step.Generation {
		return nil
	}
	if err := checkMoved(step, old); err != nil {
		return err
	}
	if f.alive {
		return fmt.Errorf("process %d of it is running: %w", old.Instance.PID, drivers.ErrMoved)
	}
	l, err := d.prepare(step.Want)
	if err != nil {
		return err
	}
	if len(f.strays) > 0 {
		if err := d.killTree(ctx, old.tree()); err != nil {
			return fmt.Errorf("end what is left of the instance before: %w", err)
		}
	}
	place, err := d.trees.Place(step.Name, &step.Want.Spec)
	if err != nil {
		return err
	}
	next := d.newIntent(step, old, place)
	if err := d.store.write(next); err != nil {
		return err
	}
	failpoint.Hit(failpoint.StartIntended)
	if err := d.launch(ctx, l, next); err != nil {
		return errors.Join(err, d.withdraw(context.WithoutCancel(ctx), step.Name, old))
	}
	d.strays.forgetInstance(next.Instance)
	return nil
}

// checkMoved is drivers.CheckInstance for a record, which may be nil.
func checkMoved(step spec.Step, rec *record) error {
	o := spec.Observed{}
	if rec != nil {
		o.Instance = rec.Instance
	}
	return drivers.CheckInstance(step, o)
}

// newIntent returns the record of a start that is about to happen. What was before stays in it until the start has succeeded.
func (d *Driver) newIntent(step spec.Step, old *record, place string) *record {
	now := time.Now()
	in := &intent{Place: place, Instance: &spec.Instance{
		ID: id(procfs.NewTag()), StartedAt: now, Generation: step.Generation, SpecDigest: step.Want.Digest, Attempts: step.Attempts,
	}}
	next := record{Name: step.Name}
	if old != nil {
		next = *old
	}
	in.Stamp = drivers.NewStamp(step, next.Stamp, now)
	if was := next.Instance; was != nil {
		in.Instance.Last, in.Instance.Restarts, in.Instance.LastLogStart = was.Exit, was.Restarts, was.LogStart
		if step.Restart {
			in.Instance.Restarts++
		}
	}
	next.Intent, next.By = in, &d.self
	return &next
}

// launch starts the process that rec intends, and records it.
func (d *Driver) launch(ctx context.Context, l *launch, rec *record) error {
	out, err := l.program().OpenLog()
	if err != nil {
		return err
	}
	defer out.Close()
	in := rec.Intent
	logStart, err := logfile.Position(out)
	if err != nil {
		return err
	}
	l.cmd.Stdout, l.cmd.Stderr, l.cmd.Tag = out, out, uint64(tag(in.Instance))
	into, done, err := d.trees.Make(in.tree(), &Mark{Stamp: in.Stamp, Instance: in.Instance})
	if err != nil {
		return err
	}
	defer done()
	l.cmd.Cgroup = into
	failpoint.Hit(failpoint.StartPlaced)
	handed, err := d.listen(ctx, rec.Name, l) // once this process is where it stays: a holder that is started is its child
	if err != nil {
		return errors.Join(err, d.trees.Remove(in.tree()))
	}
	defer handed()
	p, err := d.spawn.Start(l.cmd)
	var spawnErr *spawn.Error
	if errors.As(err, &spawnErr) && !spawnErr.Temporary() {
		err = fmt.Errorf("%w: %w", err, drivers.ErrPermanent)
	}
	if err != nil {
		return errors.Join(err, d.trees.Remove(in.tree()))
	}
	failpoint.Hit(failpoint.StartForked)
	inst := *in.Instance
	inst.PID, inst.BootID, inst.LogStart = p.PID, d.self.BootID, logStart
	st, err := procfs.ReadStat(p.PID) // ended or not, it is there until it is reaped, and nobody else reaps our child
	if err == nil {
		inst.StartTicks = st.Start
		err = d.store.write(&record{Name: rec.Name, Stamp: in.Stamp, Instance: &inst, Place: in.Place})
	}
	if err != nil {
		defer p.FD.Close()
		killErr := d.killTree(context.WithoutCancel(ctx), in.tree())
		p.FD.Status(p.PID, false)
		if killErr == nil {
			killErr = d.trees.Remove(in.tree())
		}
		return errors.Join(fmt.Errorf("record process %d: %w", p.PID, err), killErr)
	}
	failpoint.Hit(failpoint.StartRecorded)
	d.adopt(rec.Name, &inst, p.FD)
	if len(l.sockets) > 0 && d.watch.on() && !d.watch.hasHolder() {
		_ = d.keepHeld(ctx) // where that can't be, Housekeep says so
	}
	return nil
}

// withdraw puts the record back as it was before a start that came to nothing. Sockets that were opened are closed where there was none, for nobody would know of them.
func (d *Driver) withdraw(ctx context.Context, name string, old *record) error {
	if old == nil {
		return errors.Join(d.sockets.Release(ctx, name), d.store.remove(name))
	}
	return d.store.write(old)
}

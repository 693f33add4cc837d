package systemd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"reconciler.dev/reconciler/internal/failpoint"
	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// starting is a start whose unit is on disk.
type starting struct {
	f        *finding
	l        *link
	unit     string
	p        *plan
	logStart int64
}

// start starts the daemon where no process of it lives. The unit file is what a start that is cut off anywhere leaves behind: the next plan repeats it whole.
func (d *Driver) start(ctx context.Context, step spec.Step) error {
	s, err := d.ready(ctx, step)
	if err != nil || s == nil {
		return err
	}
	failpoint.Hit(failpoint.StartIntended)
	select {
	case d.starts <- struct{}{}:
		defer func() { <-d.starts }()
	case <-ctx.Done():
		return ctx.Err()
	}
	next, err := d.launch(ctx, s.l, s.f, s.unit, s.p, step)
	if err != nil {
		return errors.Join(err, d.withdraw(context.WithoutCancel(ctx), s.l, s.f, s.unit, s.p, err))
	}
	next.Instance.LogStart = s.logStart
	if err := d.notes.write(s.f.name, *next); err != nil {
		return err
	}
	failpoint.Hit(failpoint.StartRecorded)
	return nil
}

// writersAtOnce is how many starts write their units side by side. The manager reads its directories anew for each unit that it loads after one was written, so starts write first, as
// fast as they can, and wait for the manager together.
const writersAtOnce = 4

// startsAtOnce bounds how long the manager can take to get to one of them.
const startsAtOnce = 512

// StartsWait is true: a start is the manager's work.
func (d *Driver) StartsWait() bool { return true }

// ready puts all on disk that a start needs. It returns nil where the daemon runs already as it shall.
func (d *Driver) ready(ctx context.Context, step spec.Step) (*starting, error) {
	select {
	case d.writers <- struct{}{}:
		defer func() { <-d.writers }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	f, l, err := d.findForStart(ctx, step)
	if err != nil {
		return nil, err
	}
	if f.alive() && f.state != spec.Stopping && f.stamp().Digest == step.Want.Digest && f.inst != nil && f.inst.Generation == step.Generation && f.inst.SpecDigest == step.Want.Digest {
		return nil, nil
	}
	if err := drivers.CheckInstance(step, f.observed()); err != nil {
		return nil, err
	}
	if f.alive() {
		return nil, fmt.Errorf("unit %s of it is %s: %w", f.unit, f.loaded.active, drivers.ErrMoved)
	}
	unit, err := d.place(f, step.Want)
	if err != nil {
		return nil, err
	}
	p, err := d.prepare(ctx, step.Want, drivers.NewStamp(step, f.stamp(), time.Now()))
	if err != nil {
		return nil, err
	}
	if foreign := d.foreignPart(p); foreign != "" {
		return nil, standsThere(foreign, "a socket of daemon "+f.name)
	}
	if err := d.dropSockets(ctx, l, f.stamp(), p.sockets); err != nil { // before the stamp, which is what they are known by
		return nil, err
	}
	if err := d.leaveOld(ctx, l, f, unit); err != nil {
		return nil, err
	}
	logStart, err := p.openLog()
	if err != nil {
		return nil, err
	}
	return &starting{f, l, unit, p, logStart}, d.install(ctx, f, unit, p)
}

// launch starts the unit and returns the note of the instance that it is.
func (d *Driver) launch(ctx context.Context, l *link, f *finding, unit string, p *plan, step spec.Step) (*note, error) {
	if f.loaded.active == "failed" {
		if err := l.call(ctx, "ResetFailedUnit", unit).Store(); err != nil && !said(err, "NoSuchUnit") {
			return nil, err
		}
	}
	if f.unasked || f.loaded.active != "" || f.unit != unit { // one that isn't loaded is read when it is
		if err := d.reread(ctx, l, unit); err != nil {
			return nil, err
		}
	}
	if err := d.openSockets(ctx, l, p); err != nil {
		return nil, err
	}
	o, err := l.job(ctx, "StartUnit", unit)
	for ago := 2 * time.Second; said(err, "NoSuchUnit") && ago < 10*time.Second; ago += 2 * time.Second {
		if err := d.announce(ago); err != nil {
			return nil, err
		}
		o, err = l.job(ctx, "StartUnit", unit)
	}
	if err != nil {
		return nil, err
	}
	if o.result != "done" && !ranBriefly(o, step.Want) {
		return nil, d.explainStart(ctx, l, unit, p, o)
	}
	failpoint.Hit(failpoint.StartForked)
	if err := d.checkEnforced(ctx, unit, p); err != nil {
		return nil, err
	}
	next := d.startedNote(f, unit, o.facts, step, p.stamp)
	return &next, nil
}

// checkEnforced refuses a daemon that runs without a limit that is required, where that couldn't be known before, as with a kernel that has a controller and not all of it.
func (d *Driver) checkEnforced(ctx context.Context, unit string, p *plan) error {
	if c := p.want.Spec.Cgroup; c == nil || !c.Required {
		return nil
	}
	o := spec.Observed{Stamp: p.stamp}
	d.readCgroup(ctx, &finding{unit: unit, state: spec.Running, file: &unitFile{unit: unit, stamp: p.stamp}}, &o)
	for _, l := range o.Lost {
		if required(l.Field, &p.want.Spec) {
			return drivers.Refusal(l)
		}
	}
	return nil
}

// ranBriefly tells whether a daemon was executed and ended before the manager took notice of the first: that is an end, and no start that failed.
func ranBriefly(o outcome, want *spec.Daemon) bool {
	if want.Spec.Type != spec.TypeExec && want.Spec.Type != "" || o.result != "failed" || o.facts.Code == 0 {
		return false
	}
	_, never := stageOf(o.facts.Status)
	return o.facts.Code != exited || !never
}

// startedNote is what is to be noted of an instance that a step has just started.
func (d *Driver) startedNote(f *finding, unit string, said facts, step spec.Step, stamp *spec.Stamp) note {
	i := &spec.Instance{
		ID: said.Invocation, PID: said.MainPID, BootID: d.boot, StartedAt: said.Began, Generation: stamp.Generation, SpecDigest: stamp.Digest, Attempts: step.Attempts,
	}
	if st, err := procfs.ReadStat(i.PID); err == nil && i.PID != 0 {
		i.StartTicks = st.Start
	}
	if i.PID == 0 {
		i.PID = said.ExecPID
	}
	if i.StartedAt.IsZero() {
		i.StartedAt = time.Now()
	}
	if was := f.inst; was != nil {
		i.Last, i.Restarts, i.LastLogStart = was.Exit, was.Restarts, was.LogStart
		if step.Restart {
			i.Restarts++
		}
	}
	n := note{Unit: unit, Instance: i, Began: i.ID, Before: i.Restarts}
	if said.Code == 0 {
		return n
	}
	return *n.after(said, stamp, false, d.boot)
}

// withdraw puts the unit back as it was before a start that came to nothing, so that what stands in the stamp did run.
func (d *Driver) withdraw(ctx context.Context, l *link, f *finding, unit string, p *plan, why error) error {
	if errors.Is(why, context.Canceled) || errors.Is(why, context.DeadlineExceeded) || errors.Is(why, drivers.ErrUnreachable) {
		return nil // the manager goes on with it
	}
	_, err := l.job(ctx, "StopUnit", unit)
	if err != nil && !said(err, "NoSuchUnit") {
		return err
	}
	if !f.ours() {
		if err := d.dropSockets(ctx, l, p.stamp, nil); err != nil {
			return err
		}
		if err := d.removeUnit(f.name, unit); err != nil {
			return err
		}
		return d.forget(ctx, l, unit)
	}
	if err := d.putOldSockets(ctx, l, f.stamp(), p); err != nil {
		return err
	}
	if err := d.writeUnit(f, unit, f.file.text); err != nil {
		return err
	}
	if err := l.call(ctx, "ResetFailedUnit", unit).Store(); err != nil && !said(err, "NoSuchUnit") {
		return err
	}
	return d.reread(ctx, l, unit)
}

package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// Adopted is what became of a process that was taken over.
const Adopted Action = "adopted"

// Inspect looks at a daemon that runs and isn't ours, and at what want would make of it; nothing is changed. An error says why it can't be taken over: somebody has the name, or the process.
func (e *Engine) Inspect(ctx context.Context, want *spec.Daemon, c spec.Candidate) (*spec.Takeover, error) {
	adopter, done, err := e.adopter(ctx, want, c)
	if err != nil || done != nil {
		return done, err
	}
	t, err := adopter.Inspect(ctx, want, c)
	if err != nil {
		return nil, fmt.Errorf("adopt daemon %s on %s: %w", want.Name, e.host.Name(), err)
	}
	ours, err := e.host.Stats(ctx, drivers.StatsQuery{Bare: true})
	if err != nil {
		return nil, fmt.Errorf("adopt daemon %s on %s: look whose process %d is: %w", want.Name, e.host.Name(), t.Candidate.PID, err)
	}
	for _, one := range ours {
		for _, pid := range t.PIDs {
			if slices.Contains(one.PIDs, pid) {
				return nil, fmt.Errorf("adopt daemon %s on %s: process %d is daemon %s's already: %w", want.Name, e.host.Name(), pid, one.Name, drivers.ErrConflict)
			}
		}
	}
	return t, nil
}

// adopter returns the driver that is to take want over, once nobody has its name. Where the process that is meant is that daemon's already it says so.
func (e *Engine) adopter(ctx context.Context, want *spec.Daemon, c spec.Candidate) (drivers.Adopter, *spec.Takeover, error) {
	refuse := func(kind error, format string, args ...any) (drivers.Adopter, *spec.Takeover, error) {
		return nil, nil, fmt.Errorf("adopt daemon %s on %s: %s: %w", want.Name, e.host.Name(), fmt.Sprintf(format, args...), kind)
	}
	found, err := e.observe(ctx, want.Name)
	if err != nil {
		return nil, nil, err
	}
	holders, err := e.holders(ctx)
	if err != nil {
		return nil, nil, err
	}
	in := Input{Name: want.Name, Want: want, Observed: found[0], Owner: e.opt.Owner, Force: e.opt.Force}
	fillHolder(&in, holders)
	switch o := found[0]; {
	case o.State == spec.Unknown:
		return refuse(drivers.ErrConflict, "whether there is a daemon of that name is unknown: %s", o.Message)
	case isCandidate(o, c):
		return nil, &spec.Takeover{Candidate: spec.Candidate{PID: o.Instance.PID, StartTicks: o.Instance.StartTicks}, Ours: true, Driver: o.Driver}, nil
	case o.Stamp != nil:
		return refuse(drivers.ErrConflict, "there is a daemon of that name, of set %s, under driver %s; reconciler get shows it", o.Stamp.Owner.Set, o.Driver)
	case o.Paused != nil:
		return refuse(drivers.ErrConflict, "a user stopped the daemon of that name, and that is remembered; reconciler start %s forgets it", want.Name)
	case in.HeldBy != "" && !e.opt.Force:
		return refuse(drivers.ErrConflict, "%s keeps set %s, and would act on the daemon at once; stop it, or give another --set", in.HeldBy, e.opt.Owner.Set)
	}
	drv, err := e.driverFor(want)
	if err != nil {
		return nil, nil, err
	}
	a, ok := drivers.Find[drivers.Adopter](drv)
	if !ok {
		return refuse(drivers.ErrUnsupported, "driver %s can't take over what runs already", drv.Kind())
	}
	return a, nil, nil
}

// isCandidate tells whether the running instance of a daemon of ours is what c means.
func isCandidate(o spec.Observed, c spec.Candidate) bool {
	if o.Stamp == nil || o.State != spec.Running || o.Instance == nil || o.Instance.StartTicks == 0 {
		return false
	}
	unit := o.Driver == spec.DriverSystemd && (c.Unit == spec.UnitName(o.Name, o.Stamp.Spec.Cgroup) || c.Unit+".service" == spec.UnitName(o.Name, o.Stamp.Spec.Cgroup))
	return c.PID == o.Instance.PID && c.PID != 0 || unit
}

// Adopt takes over what Inspect has looked at. The process runs on; what of it isn't as want says is Drift until its next start.
func (e *Engine) Adopt(ctx context.Context, want *spec.Daemon, t *spec.Takeover) (Item, error) {
	it := Item{Name: want.Name, Want: want, Driver: t.Driver, Action: Adopted, Lost: t.Lost, Reason: fmt.Sprintf("process %d was taken over", t.Candidate.PID)}
	fail := func(err error) (Item, error) {
		it.Action, it.Err = Failed, fmt.Errorf("adopt daemon %s on %s: %w", want.Name, e.host.Name(), err)
		return it, it.Err
	}
	drv, err := e.host.Driver(t.Driver)
	if err != nil {
		return fail(err)
	}
	it.Steps = []spec.Step{{
		Verb: spec.VerbAdopt, Name: want.Name, Reason: it.Reason, Want: want, Owner: e.opt.Owner, Generation: 1, Tool: e.opt.Tool, Driver: t.Driver, Adopt: &t.Candidate,
	}}
	if err := drv.Apply(ctx, it.Steps[0]); err != nil {
		return fail(err)
	}
	if t.Ours {
		it.Action = Unchanged
		return it, nil
	}
	e.host.Record(spec.Event{At: time.Now(), Name: want.Name, Type: "Normal", Reason: "Adopted", Message: it.Reason})
	found, err := e.observe(ctx, want.Name)
	if err == nil {
		it.Observed, it.Drift = found[0], found[0].Drift
		if st := found[0].Stamp; st != nil {
			err = e.host.Archive(ctx, spec.Revision{Stamp: *st})
		}
	}
	if err != nil {
		return fail(err)
	}
	return it, nil
}

package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// Review plans for a whole set and changes nothing: what diff prints, what a dry run says, what apply does. Items that may not be done carry an Err; an
// error means that there is no plan at all.
func (e *Engine) Review(ctx context.Context, wants []*spec.Daemon, p PruneOptions) (*Review, error) {
	return e.review(ctx, wants, p, "")
}

// review is Review, for daemons whose running instances shall be replaced where restart says so.
func (e *Engine) review(ctx context.Context, wants []*spec.Daemon, p PruneOptions, verb Action) (*Review, error) {
	names := make([]string, len(wants), len(wants)+8)
	wanted := make(map[string]bool, len(wants))
	for i, w := range wants {
		names[i], wanted[w.Name] = w.Name, true
	}
	var gone []spec.Observed
	var r Review
	if p.Enabled {
		var err error
		if gone, r.Share, r.Guard, err = e.candidates(ctx, wants, p); err != nil {
			return nil, err
		}
	}
	found, err := e.observe(ctx, names...)
	if err != nil {
		return nil, err
	}
	holders, err := e.holders(ctx)
	if err != nil {
		return nil, err
	}
	if err := e.dependencies(ctx, wants, wanted); err != nil {
		return nil, err
	}
	r.Items = make([]Item, 0, len(wants)+len(gone))
	for i, w := range wants {
		r.Items = append(r.Items, e.item(ctx, w, found[i], holders, verb))
	}
	for _, o := range gone {
		in := Input{Name: o.Name, Observed: o, Owner: e.opt.Owner, Force: e.opt.Force}
		fillHolder(&in, holders)
		it := itemOf(in, Plan(in))
		if it.Action == Deleted {
			it.Action = Pruned
		}
		r.Items = append(r.Items, it)
	}
	return &r, nil
}

// item plans for one wanted daemon and checks that its host can do it, before anything is touched.
func (e *Engine) item(ctx context.Context, w *spec.Daemon, o spec.Observed, holders map[string]drivers.Holder, verb Action) Item {
	asked := w
	w, held, err := e.instead(ctx, asked, o)
	if err != nil {
		return Item{Name: asked.Name, Want: asked, Observed: o, Action: Refused, Reason: err.Error(), Err: err}
	}
	in := Input{Name: w.Name, Want: w, Observed: o, Owner: e.opt.Owner, Force: e.opt.Force, Manual: true}
	drv, err := e.driverFor(w)
	if err != nil {
		return Item{Name: w.Name, Want: w, Observed: o, Action: Refused, Reason: err.Error(), Err: err}
	}
	in.Driver = drv.Kind()
	in.MoveReason = e.moving(o.Driver, in.Driver)
	if verb == "" {
		fillHolder(&in, holders)
	}
	if verb == Restarted && o.Instance != nil {
		in.RestartOf = o.Instance.ID
	}
	it := itemOf(in, Plan(in))
	it.Driver, it.Fallback = in.Driver, e.fallback(w.Spec, in.Driver)
	if held != "" {
		it.Changes, it.Reason = spec.Diff(*o.Stamp, asked), held
		if it.Action == Unchanged {
			it.Action = RolloutPaused
		}
	}
	if c, ok := drivers.Find[drivers.Checker](drv); ok && (startsAny(it.Steps) || changesLimits(it.Changes)) {
		if it.Lost, err = c.Check(ctx, w); err != nil {
			err = fmt.Errorf("daemon %s (%s): %w", w.Name, w.Source, err)
			it.Action, it.Steps, it.Reason, it.Err = Refused, nil, err.Error(), err
		}
	}
	return it
}

func itemOf(in Input, d Decision) Item {
	return Item{
		Name: in.Name, Want: in.Want, Observed: in.Observed, Action: d.Action, Changes: d.Changes, Drift: in.Observed.Drift,
		Lost: in.Observed.Lost, Move: d.Move, Steps: d.Steps, Reason: d.Reason, Err: d.Err,
	}
}

func startsAny(steps []spec.Step) bool {
	return slices.ContainsFunc(steps, func(s spec.Step) bool { return s.Verb == spec.VerbStart })
}

// candidates returns what the owner set has on the host and no longer wants, and the guard's objection where there is one; then nothing is to go.
func (e *Engine) candidates(ctx context.Context, wants []*spec.Daemon, o PruneOptions) (gone []spec.Observed, s Share, objection, err error) {
	names, err := e.list(ctx)
	if err != nil {
		return nil, s, nil, err
	}
	all, err := e.observe(ctx, names...)
	if err != nil {
		return nil, s, nil, err
	}
	var stamps []spec.Stamp
	byName := make(map[string]spec.Observed, len(all))
	for _, o := range all {
		if o.Stamp != nil && o.State != spec.Unknown {
			stamps = append(stamps, *o.Stamp)
			byName[o.Name] = o
		}
	}
	s, objection = prune(e.opt.Owner.Set, stamps, wants, o)
	if objection != nil {
		return nil, s, objection, nil
	}
	for _, n := range s.Going {
		gone = append(gone, byName[n])
	}
	return gone, s, nil, nil
}

// dependencies refuses dependencies on daemons that are neither wanted nor on the host.
func (e *Engine) dependencies(ctx context.Context, wants []*spec.Daemon, wanted map[string]bool) error {
	var elsewhere []string
	for _, w := range wants {
		for _, d := range w.Spec.DependsOn {
			if !wanted[d.Name] && !slices.Contains(elsewhere, d.Name) {
				elsewhere = append(elsewhere, d.Name)
			}
		}
	}
	found, err := e.observe(ctx, elsewhere...)
	if err != nil {
		return err
	}
	var errs []error
	for i, n := range elsewhere {
		if found[i].State != spec.Absent {
			continue
		}
		for _, w := range wants {
			if slices.ContainsFunc(w.Spec.DependsOn, func(d spec.Dependency) bool { return d.Name == n }) {
				errs = append(errs, fmt.Errorf("daemon %s (%s) depends on %q, which is neither in the manifests nor on %s; declare it, or apply it first: %w",
					w.Name, w.Source, n, e.host.Name(), drivers.ErrPermanent))
			}
		}
	}
	return errors.Join(errs...)
}

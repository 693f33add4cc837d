package reconcile

import (
	"context"
	"sync"
	"time"

	"reconciler.dev/reconciler/pkg/spec"
)

// Install puts the programs of reviewed daemons on the host, at their places, and starts and stops nothing. A daemon of which nothing is installed is left unchanged; one that
// the review refuses stays refused.
func (e *Engine) Install(ctx context.Context, r *Review) ([]Item, error) {
	return e.side(ctx, r.Items, func(it *Item) error {
		switch {
		case it.Err != nil || it.Want == nil:
			return it.Err
		case it.Want.Spec.Install == nil:
			it.Action, it.Reason = Unchanged, "its manifest installs nothing"
			return nil
		}
		step := spec.Step{Verb: spec.VerbInstall, Name: it.Name, Reason: "an install was asked for", Want: it.Want, Driver: it.Driver, Instance: instanceID(it.Observed), Force: e.opt.Force}
		if it.Observed.Stamp != nil {
			step.Driver = it.Observed.Driver
		}
		it.Action, it.Steps = Installed, []spec.Step{step}
		return e.step(ctx, step, time.Time{})
	})
}

// InstallAgain puts the programs that were applied last at their places again, from what the host keeps.
func (e *Engine) InstallAgain(ctx context.Context, names []string) ([]Item, error) {
	found, err := e.observe(ctx, names...)
	if err != nil {
		return nil, err
	}
	items := make([]Item, len(found))
	for i, o := range found {
		items[i] = Item{Name: o.Name, Observed: o, Driver: o.Driver}
		if o.Stamp == nil {
			items[i].Err = e.unstamped(o)
			continue
		}
		items[i].Want, items[i].Err = e.revive(ctx, *o.Stamp)
	}
	return e.Install(ctx, &Review{Items: items})
}

// Uninstall takes away what was installed of daemons that don't run, or are gone. A file that somebody changed since stays, and is an error, unless the options force it.
func (e *Engine) Uninstall(ctx context.Context, names []string) ([]Item, error) {
	found, err := e.observe(ctx, names...)
	if err != nil {
		return nil, err
	}
	items := make([]Item, len(found))
	for i, o := range found {
		items[i] = Item{Name: o.Name, Observed: o}
	}
	return e.side(ctx, items, func(it *Item) error {
		o := it.Observed
		if o.State == spec.Unknown || o.Foreign != "" {
			return e.unstamped(o)
		}
		drv, err := e.host.Driver(o.Driver)
		if err != nil {
			return err
		}
		step := spec.Step{Verb: spec.VerbUninstall, Name: it.Name, Reason: "a user uninstalled it", Driver: drv.Kind(), Instance: instanceID(o), Force: e.opt.Force}
		it.Action, it.Steps = Uninstalled, []spec.Step{step}
		return e.step(ctx, step, time.Time{})
	})
}

// side does something to items side by side, and makes its errors theirs.
func (e *Engine) side(ctx context.Context, items []Item, do func(*Item) error) ([]Item, error) {
	var wg sync.WaitGroup
	for i := range items {
		wg.Go(func() {
			e.work()
			defer e.rest()
			if err := ctx.Err(); err != nil {
				items[i].Action, items[i].Err = Failed, err
				return
			}
			if err := do(&items[i]); err != nil {
				items[i].Action, items[i].Err = Failed, err
			}
		})
	}
	wg.Wait()
	return items, refusals(&Review{Items: items})
}

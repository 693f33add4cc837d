package reconcile

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// Delete ends daemons and removes what is left of them, dependents before what they depend on. A name that isn't there has an item whose Err wraps
// ErrNotFound; the others are deleted all the same.
func (e *Engine) Delete(ctx context.Context, names []string, o DeleteOptions) ([]Item, error) {
	found, err := e.observe(ctx, names...)
	if err != nil {
		return nil, err
	}
	holders, err := e.holders(ctx)
	if err != nil {
		return nil, err
	}
	var items, missing []Item
	for _, ob := range found {
		in := Input{Name: ob.Name, Observed: ob, Force: e.opt.Force}
		fillHolder(&in, holders)
		it := itemOf(in, Plan(in))
		it.grace = o.Grace
		if ob.State == spec.Absent && ob.Foreign == "" {
			it.Err, it.Action = e.notFound(ob.Name), Failed
			missing = append(missing, it)
			continue
		}
		items = append(items, it)
	}
	if err := refusals(&Review{Items: items}); err != nil {
		return append(skipped(items, "another daemon was refused"), missing...), errors.Join(err, refusals(&Review{Items: missing}))
	}
	del := New(e.host, e.opt)
	del.opt.Owner = spec.Owner{}
	items, err = del.converge(ctx, items, ApplyOptions{Timeout: o.Timeout})
	return append(items, missing...), errors.Join(err, refusals(&Review{Items: missing}))
}

func (e *Engine) notFound(name string) error {
	return fmt.Errorf("daemon %q on %s: %w", name, e.host.Name(), drivers.ErrNotFound)
}

// Stop ends daemons and remembers that a user did, so that nothing starts them again before Start does.
func (e *Engine) Stop(ctx context.Context, names []string, by string) ([]Item, error) {
	return e.each(ctx, names, func(o spec.Observed) Item {
		it := Item{Name: o.Name, Observed: o, Action: Stopped}
		if o.Stamp == nil {
			it.Action = Unchanged
			return it
		}
		pause := spec.Step{Verb: spec.VerbPause, Name: o.Name, Reason: "a user stopped it", Driver: o.Driver, By: by, Instance: instanceID(o)}
		stop := spec.Step{Verb: spec.VerbStop, Name: o.Name, Reason: "a user stopped it", Driver: o.Driver, Stop: o.Stamp.Spec.Stop, Instance: instanceID(o)}
		if o.State != spec.Running && o.Paused != nil {
			it.Action = Unchanged
		}
		it.Steps = []spec.Step{pause, stop}
		return it
	})
}

// Start forgets a user's stop and starts daemons that don't run, as they were applied last. What was applied may not be known any more, as after a reboot
// with a driver that keeps its stamps in memory: an item that is Waiting says so.
func (e *Engine) Start(ctx context.Context, names []string, o ApplyOptions) ([]Item, error) {
	resumed, err := e.each(ctx, names, func(ob spec.Observed) Item {
		it := Item{Name: ob.Name, Observed: ob, Steps: []spec.Step{{Verb: spec.VerbResume, Name: ob.Name, Reason: "a user started it", Driver: ob.Driver, Instance: instanceID(ob)}}}
		if ob.Stamp == nil {
			it.Action = Waiting
			it.Reason = "nothing but its stop is remembered, and that is forgotten now; the next apply of its manifest starts it, or a run that keeps it"
		}
		return it
	})
	if err != nil {
		return resumed, err
	}
	var there []string
	for _, it := range resumed {
		if it.Action != Waiting {
			there = append(there, it.Name)
		}
	}
	started, err := e.again(ctx, there, Started, o)
	if len(started) < len(there) {
		return started, err
	}
	for i, it := range resumed {
		if it.Action != Waiting {
			resumed[i], started = started[0], started[1:]
		}
	}
	return resumed, err
}

// Restart replaces the running instances of daemons, and starts those that don't run.
func (e *Engine) Restart(ctx context.Context, names []string, o ApplyOptions) ([]Item, error) {
	return e.again(ctx, names, Restarted, o)
}

// again plans and applies what was applied last.
func (e *Engine) again(ctx context.Context, names []string, verb Action, o ApplyOptions) ([]Item, error) {
	found, err := e.observe(ctx, names...)
	if err != nil {
		return nil, err
	}
	wants := make([]*spec.Daemon, 0, len(found))
	for _, ob := range found {
		if ob.Stamp == nil {
			return nil, e.unstamped(ob)
		}
		w, err := e.revive(ctx, *ob.Stamp)
		if err != nil {
			return nil, err
		}
		wants = append(wants, w)
	}
	same := New(e.host, e.opt)
	same.opt.Owner = spec.Owner{}
	r, err := same.review(ctx, wants, PruneOptions{}, verb)
	if err != nil {
		return nil, err
	}
	if err := refusals(r); err != nil {
		return skipped(r.Items, "another daemon was refused"), err
	}
	for i := range r.Items {
		r.Items[i].restart = verb == Restarted
	}
	items, err := same.converge(ctx, r.Items, o)
	for i, it := range items {
		if it.Err == nil && it.Action != Unchanged && it.Action != Paused {
			items[i].Action = verb
		}
	}
	return items, err
}

// Undo puts a revision of a daemon back: zero means the one before the present.
func (e *Engine) Undo(ctx context.Context, name string, revision int64, o ApplyOptions) (Item, error) {
	past, err := e.host.History(ctx, name)
	if err != nil {
		return Item{}, fmt.Errorf("read the history of daemon %s on %s: %w", name, e.host.Name(), err)
	}
	found, err := e.observe(ctx, name)
	if err != nil {
		return Item{}, err
	}
	r, err := pick(past, found[0].Stamp, revision)
	if err != nil {
		return Item{}, fmt.Errorf("undo daemon %s on %s: %w", name, e.host.Name(), err)
	}
	want, err := e.revive(ctx, r.Stamp)
	if err != nil {
		return Item{}, err
	}
	as := New(e.host, e.opt)
	if as.opt.Owner.Set == "" && found[0].Stamp == nil {
		as.opt.Owner.Set = r.Owner.Set
	}
	review, err := as.Review(ctx, []*spec.Daemon{want}, PruneOptions{})
	if err != nil {
		return Item{}, err
	}
	items, err := as.Apply(ctx, review, o)
	return items[0], err
}

// pick chooses the revision to go back to.
func pick(past []spec.Revision, now *spec.Stamp, revision int64) (spec.Revision, error) {
	for i := len(past) - 1; i >= 0; i-- {
		r := past[i]
		older := r.Failed == "" && (now == nil || r.Generation < now.Generation && r.Digest != now.Digest)
		if revision == 0 && older || revision != 0 && r.Generation == revision {
			return r, nil
		}
	}
	if revision == 0 {
		return spec.Revision{}, fmt.Errorf("it has no earlier revision: %w", drivers.ErrNotFound)
	}
	return spec.Revision{}, fmt.Errorf("it has no revision %d; rollout history lists those there are: %w", revision, drivers.ErrNotFound)
}

// revive makes a daemon again from its stamp.
func (e *Engine) revive(ctx context.Context, st spec.Stamp) (*spec.Daemon, error) {
	d, err := spec.Revive(st, func(digest string) ([]byte, error) { return e.host.Get(ctx, digest) }, e.opt.LookupEnv)
	if err != nil {
		return nil, fmt.Errorf("make daemon %s on %s again from what was applied: %w", st.Name, e.host.Name(), err)
	}
	return d, nil
}

func (e *Engine) unstamped(o spec.Observed) error {
	switch {
	case o.State == spec.Unknown:
		return fmt.Errorf("daemon %s on %s: its state is unknown: %s: %w", o.Name, e.host.Name(), o.Message, drivers.ErrUnreachable)
	case o.Foreign != "":
		return fmt.Errorf("daemon %s on %s: %s stands there without our stamp: %w", o.Name, e.host.Name(), o.Foreign, drivers.ErrConflict)
	}
	return e.notFound(o.Name)
}

// each does the steps that plan makes for every daemon that is stamped or paused, side by side.
func (e *Engine) each(ctx context.Context, names []string, plan func(spec.Observed) Item) ([]Item, error) {
	found, err := e.observe(ctx, names...)
	if err != nil {
		return nil, err
	}
	items := make([]Item, len(found))
	var wg sync.WaitGroup
	together := gather(len(found))
	for i, o := range found {
		if o.Stamp == nil && (o.State != spec.Absent || o.Paused == nil || o.Foreign != "") {
			items[i] = Item{Name: o.Name, Observed: o, Action: Failed, Err: e.unstamped(o)}
			together.arrive()
			continue
		}
		items[i] = plan(o)
		wg.Go(func() {
			e.work()
			defer e.rest()
			arrived := sync.OnceFunc(together.arrive)
			defer arrived()
			for n, s := range items[i].Steps {
				if n > 0 {
					e.rest()
					arrived()
					together.wait(ctx)
					e.work()
				}
				if err := e.untilStill(ctx, s); err != nil {
					items[i].Action, items[i].Err = Failed, err
					return
				}
			}
		})
	}
	wg.Wait()
	return items, refusals(&Review{Items: items})
}

// untilStill does a step, again and again while the daemon moves: a run may just be restarting it.
func (e *Engine) untilStill(ctx context.Context, s spec.Step) error {
	for try := 1; ; try++ {
		err := e.step(ctx, s, time.Time{})
		if !errors.Is(err, drivers.ErrMoved) || try == 10 {
			return err
		}
		if err := sleep(ctx, RetryDelay(s.Name, try)); err != nil {
			return err
		}
		o, err := e.observe(ctx, s.Name)
		if err != nil {
			return err
		}
		if o[0].Stamp == nil {
			return e.unstamped(o[0])
		}
		s.Instance = instanceID(o[0])
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// inParallel calls f for all items, at most n at once, and joins the errors.
func inParallel[T any](n int, items []T, f func(T) error) error {
	errs := make([]error, len(items))
	slots := make(chan struct{}, n)
	var wg sync.WaitGroup
	for i, it := range items {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			errs[i] = f(it)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

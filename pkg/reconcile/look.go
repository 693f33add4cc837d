package reconcile

import (
	"context"
	"fmt"
	"sync"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// Look says how daemons are: those named, or all that carry our stamp. Where a live run keeps a daemon, its last word on the daemon's health stands; else the
// daemon is checked now, once.
func (e *Engine) Look(ctx context.Context, names ...string) ([]View, error) {
	return e.look(ctx, e.checkNow, names)
}

// checker makes a health check of a daemon.
type checker func(ctx context.Context, o spec.Observed) Health

func (e *Engine) look(ctx context.Context, check checker, names []string) ([]View, error) {
	if len(names) == 0 {
		var err error
		if names, err = e.list(ctx); err != nil {
			return nil, err
		}
	}
	found, err := e.observe(ctx, names...)
	if err != nil {
		return nil, err
	}
	kept, err := e.host.Statuses(ctx, names...)
	if err != nil {
		return nil, err
	}
	holders, err := e.holders(ctx)
	if err != nil {
		return nil, err
	}
	views := make([]View, len(found))
	_ = inParallel(64, indexes(len(found)), func(i int) error {
		views[i] = e.view(ctx, check, found[i], kept[found[i].Name], holders)
		return nil
	})
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("look at the daemons of %s: %w", e.host.Name(), err) // a check that was cut off proves nothing
	}
	return views, nil
}

func indexes(n int) []int {
	is := make([]int, n)
	for i := range is {
		is[i] = i
	}
	return is
}

// view judges one daemon.
func (e *Engine) view(ctx context.Context, check checker, o spec.Observed, kept spec.Status, holders map[string]drivers.Holder) View {
	v := View{Observed: o}
	if o.Stamp != nil {
		v.Holder = holders[o.Stamp.Owner.Set].ID
		v.Fallback = e.fallback(o.Stamp.Spec, o.Driver)
	}
	fresh := kept.Instance == instanceID(o) && o.State == spec.Running
	if v.Holder != "" && kept.Holder == v.Holder && (fresh || seenEnding(o, kept)) {
		v.Conditions = kept.Conditions
		return v
	}
	h := check(ctx, o)
	if before := find(kept.Conditions, spec.Ready); fresh && !h.Ready && h.Known && before.Status != spec.True && starting(o) {
		h.Known = false
	}
	d := Decision{Action: Unchanged, Reason: Ending(o)}
	if o.State == spec.Unknown {
		d = Decision{Action: Frozen, Reason: o.Message}
	}
	v.Conditions, _ = Merge(kept.Conditions, Judge(d, o, h, nil), time.Now())
	return v
}

// seenEnding says whether the last word on a daemon that has ended was spoken after its end: what it waits for stands there.
func seenEnding(o spec.Observed, kept spec.Status) bool {
	return o.State == spec.Exited && kept.Instance == instanceID(o) && (o.Paused == nil) == (find(kept.Conditions, spec.Ready).Reason != "Paused") &&
		o.Instance != nil && o.Instance.Exit != nil && !kept.At.Before(o.Instance.Exit.At)
}

// checkNow makes one health check of a running daemon.
func (e *Engine) checkNow(ctx context.Context, o spec.Observed) Health {
	if o.State != spec.Running || o.Instance == nil || o.Stamp == nil {
		return Health{}
	}
	check := checkIn(&o.Stamp.Spec, o)
	if check == nil {
		up := o.Instance.Up >= UpFor
		return Health{Known: up, Ready: up, Instance: o.Instance.ID}
	}
	err := e.host.Probe(ctx, o.Name, *check)
	h := Health{Known: true, Ready: err == nil, Instance: o.Instance.ID}
	if err != nil {
		h.LastError = err.Error()
	}
	return h
}

// starting says whether failed checks don't count yet.
func starting(o spec.Observed) bool {
	return o.Stamp.Spec.Health != nil && o.Instance.Up < o.Stamp.Spec.Health.StartPeriod.D()
}

// WaitFor returns nil once met says yes to every one of names, looking whenever one may have changed. met is asked again each time, so a daemon may
// also cease to meet it. When ctx ends first, the error wraps ctx's.
func (e *Engine) WaitFor(ctx context.Context, names []string, met func(View) bool) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	return e.Follow(ctx, names, func(views []View) bool {
		for _, v := range views {
			if !met(v) {
				return true
			}
		}
		return false
	})
}

// sparing returns a checker for those who look again and again: a daemon that was found Ready is checked once in the interval of its own health check.
func (e *Engine) sparing() checker {
	type result struct {
		Health
		at time.Time
	}
	var mu sync.Mutex
	last := map[string]result{}
	return func(ctx context.Context, o spec.Observed) Health {
		mu.Lock()
		before := last[o.Name]
		mu.Unlock()
		if before.Ready && before.Instance == instanceID(o) && o.State == spec.Running && o.Stamp != nil && o.Stamp.Spec.Health != nil &&
			time.Since(before.at) < o.Stamp.Spec.Health.Interval.D() {
			return before.Health
		}
		now := result{e.checkNow(ctx, o), time.Now()}
		mu.Lock()
		last[o.Name] = now
		mu.Unlock()
		return now.Health
	}
}

// checkEvery is how often Follow makes health checks of what isn't Ready: no kernel tells when one would pass.
const checkEvery = 500 * time.Millisecond

// Follow calls yield with the views of names (none: all) at once and whenever one may have changed, until yield returns false or ctx ends.
func (e *Engine) Follow(ctx context.Context, names []string, yield func([]View) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	changed := make(chan struct{}, 1)
	for _, d := range e.host.Drivers() {
		wg.Go(func() { _ = d.Watch(ctx, func(string) { signal(changed) }) }) // the ticker looks without it
	}
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	check := e.sparing()
	for {
		views, err := e.look(ctx, check, names)
		if err != nil {
			return err
		}
		if !yield(views) {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		case <-tick.C:
		}
	}
}

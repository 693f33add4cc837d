package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// Apply does what a review says, and returns what became of each daemon, in the review's order. It refuses a review with a refused item whole, before
// anything is touched. The error joins what went wrong; the items say it one by one.
//
// Daemons are worked on side by side, each as soon as its dependencies allow. What is to be pruned comes last, and only if all the rest went well.
func (e *Engine) Apply(ctx context.Context, r *Review, o ApplyOptions) ([]Item, error) {
	if err := refusals(r); err != nil {
		return skipped(r.Items, "another daemon was refused"), err
	}
	keep, gone := split(r.Items)
	if len(gone) > 0 {
		o.Settle = true
	}
	items, err := e.converge(ctx, keep, o)
	if err != nil {
		if len(gone) > 0 {
			err = fmt.Errorf("%w\nnothing was pruned, because not everything else went well", err)
		}
		return append(items, skipped(gone, "not everything else went well")...), err
	}
	if r.Guard != nil {
		return append(items, skipped(gone, "it would be too many")...), r.Guard
	}
	pruned, err := e.converge(ctx, gone, o)
	return append(items, pruned...), err
}

func refusals(r *Review) error {
	var errs []error
	for _, it := range r.Items {
		if it.Err != nil {
			errs = append(errs, it.Err)
		}
	}
	return errors.Join(errs...)
}

// skipped returns items of which nothing was done, because of why.
func skipped(items []Item, why string) []Item {
	items = slices.Clone(items)
	for i, it := range items {
		if it.Err == nil && len(it.Steps) > 0 {
			items[i].Action, items[i].Reason = Skipped, why
		}
	}
	return items
}

func split(items []Item) (keep, gone []Item) {
	for _, it := range items {
		if it.Want == nil {
			gone = append(gone, it)
		} else {
			keep = append(keep, it)
		}
	}
	return keep, gone
}

// converge runs a loop until each item is settled, and returns them as they ended.
func (e *Engine) converge(ctx context.Context, items []Item, o ApplyOptions) ([]Item, error) {
	if idle(items, o) {
		return items, nil
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p := &applying{opt: o, open: len(items), cancel: cancel, deadline: time.Now().Add(o.Timeout)}
	l := newLoop(e, func(l *loop) policy { p.loop = l; return p })
	p.enter(ctx, items)
	var wg sync.WaitGroup
	if waitsForAny(items, o) {
		for _, d := range e.host.Drivers() {
			wg.Go(func() { p.watch(ctx, d) })
		}
	}
	l.run(ctx)
	wg.Wait()
	return p.outcome(ctx, items)
}

// waitsForAny says whether what happens to a daemon after its steps matters.
func waitsForAny(items []Item, o ApplyOptions) bool {
	return o.Wait || o.Settle || slices.ContainsFunc(items, func(it Item) bool {
		return gated(it) || it.Want != nil && len(it.Want.Spec.DependsOn) > 0 || it.Action == Waiting
	})
}

// gated says whether what an item's steps bring about has to prove itself, though nobody waits for it.
func gated(it Item) bool {
	return it.Want != nil && (it.Want.Spec.Update != nil && proves(it.Steps) || it.Observed.Outgoing != nil)
}

// DefaultTimeout is how long an apply waits where nobody says.
const DefaultTimeout = time.Minute

// idle says that nothing is to be done and nothing waited for.
func idle(items []Item, o ApplyOptions) bool {
	for _, it := range items {
		if len(it.Steps) > 0 || o.Wait || it.Action == Waiting || it.Action == Frozen {
			return false
		}
	}
	return true
}

// oneTime is what an apply knows of an entry.
type oneTime struct {
	first    Item
	item     Item // as it ended
	deadline time.Time
	began    bool  // steps were done
	unseen   bool  // and item.Observed is from before them
	cause    error // why the previous revision is being put back
}

// applying is the policy of a one-time apply: it ends when every entry is settled.
type applying struct {
	loop     *loop
	opt      ApplyOptions
	deadline time.Time
	cancel   context.CancelFunc

	mu   sync.Mutex
	open int
}

// enter makes the entries, and those of dependencies that are on the host and not in the apply.
func (p *applying) enter(ctx context.Context, items []Item) {
	l := p.loop
	l.holders, _ = l.Engine.holders(ctx) // the review has refused already what is held
	if l.opt.Owner.Set == "" {
		l.holders = nil
	}
	for _, it := range items {
		en := &entry{name: it.Name, want: it.Want, manual: true, seed: &it.Observed, grace: it.grace, memory: &memory{lastExit: instanceID(it.Observed), lost: it.Observed.Lost}}
		en.once = oneTime{first: it, item: it, deadline: p.deadline}
		en.up = it.Observed.State == spec.Running
		if it.restart && it.Observed.Instance != nil {
			en.restartOf = it.Observed.Instance.ID
		}
		if st := it.Observed.Stamp; st != nil && it.Want == nil {
			en.uses = names(st.Spec.DependsOn)
		}
		l.entries[it.Name] = en
	}
	for _, it := range items {
		if it.Want == nil {
			continue
		}
		for _, dep := range names(it.Want.Spec.DependsOn) {
			if l.entries[dep] == nil {
				l.entries[dep] = &entry{name: dep, passive: true, memory: new(memory)}
			}
		}
	}
	l.link()
	for name := range l.entries {
		l.queue.Add(name)
	}
}

func names(deps []spec.Dependency) []string {
	out := make([]string, len(deps))
	for i, d := range deps {
		out[i] = d.Name
	}
	return out
}

// unwatchedLook is how often daemons are looked at that their driver can't watch, as on a machine that has run out of inotify instances.
const unwatchedLook = 500 * time.Millisecond

// watch tells what a driver's daemons do, until ctx ends.
func (p *applying) watch(ctx context.Context, d drivers.Driver) {
	_ = d.Watch(ctx, p.changed) // why it can't is no concern of an apply, which looks instead
	for sleep(ctx, unwatchedLook) == nil {
		p.loop.mu.Lock()
		names := slices.Collect(maps.Keys(p.loop.entries))
		p.loop.mu.Unlock()
		for _, name := range names {
			p.loop.queue.Add(name)
		}
	}
}

// changed wakes an entry that a driver saw changing; for "" the deadlines and the seeds suffice.
func (p *applying) changed(name string) {
	if name != "" && p.loop.entry(name) != nil {
		p.loop.queue.Add(name)
	}
}

// needsHealth: where somebody waits for it, the apply or a dependent.
func (p *applying) needsHealth(en *entry) bool {
	if p.waits(en) {
		return true
	}
	p.loop.mu.Lock()
	defer p.loop.mu.Unlock()
	for _, name := range p.loop.dependents[en.name] {
		for _, d := range p.loop.entries[name].want.Spec.DependsOn {
			if d.Name == en.name && d.Condition != spec.DependencyStarted {
				return true
			}
		}
	}
	return false
}

// watches: where the apply waits for it, or another daemon does, and where it shall go.
func (p *applying) watches(en *entry) bool {
	if en.want == nil || en.want.Spec.Update != nil || p.opt.Settle || p.waits(en) {
		return true
	}
	p.loop.mu.Lock()
	defer p.loop.mu.Unlock()
	return len(p.loop.dependents[en.name]) > 0
}

// waits says whether the entry has to be Ready for the apply to end well.
func (p *applying) waits(en *entry) bool {
	return en.want != nil && (p.opt.Wait || en.trial != nil || gated(en.once.first) || p.opt.Settle && en.once.began || en.once.cause != nil)
}

func (p *applying) concluded(ctx context.Context, en *entry, c conclusion) time.Duration {
	if en.passive || p.over(en) || ctx.Err() != nil {
		return 0
	}
	if c.acted {
		en.once.began = true
		if en.once.item.Action == Waiting || en.once.cause == nil && c.err == nil && en.once.item.Action == Unchanged {
			en.once.item.Action = c.decision.Action
		}
	}
	if u := en.updates(c.observed); u != nil && en.trial == nil && en.once.cause == nil && c.err == nil && (c.acted && proves(c.decision.Steps) || c.observed.Outgoing != nil) {
		en.trial = newTrial(*u, en.exits, time.Now())
		en.once.deadline = en.trial.deadline.Add(u.ReadyFor.D() + time.Second) // the trial ends before
	}
	en.once.item.Observed, en.once.unseen = c.observed, c.unseen
	again, failure, done := p.settle(en, c)
	if !done && failure == nil && time.Now().After(en.once.deadline) {
		failure = fmt.Errorf("daemon %s on %s: %s: %w", en.name, p.loop.host.Name(), p.pending(c), ErrTimeout)
	}
	p.note(ctx, en, c)
	switch {
	case failure != nil:
		return p.fail(ctx, en, c.observed, failure)
	case done:
		p.finish(ctx, en)
		return 0
	}
	left := time.Until(en.once.deadline) + time.Millisecond
	if again > 0 && again < left {
		return again
	}
	return left
}

// over says that the entry is settled already.
func (p *applying) over(en *entry) bool {
	p.loop.mu.Lock()
	defer p.loop.mu.Unlock()
	return en.over
}

// finish settles an entry for good; the last one ends the loop.
func (p *applying) finish(_ context.Context, en *entry) {
	l, item := p.loop, &en.once.item
	if en.once.cause != nil && item.Err == nil {
		item.Action, item.Err = p.turned(en)
	}
	l.mu.Lock()
	en.over = true
	wake := l.dependents[en.name]
	l.mu.Unlock()
	for _, name := range wake {
		l.queue.Add(name)
	}
	l.report(en.name, string(item.Action), "")
	p.mu.Lock()
	p.open--
	last := p.open == 0
	p.mu.Unlock()
	if last {
		p.cancel()
	}
}

// outcome collects the items in their order, and keeps the revisions that came to be.
func (p *applying) outcome(ctx context.Context, items []Item) ([]Item, error) {
	ctx = context.WithoutCancel(ctx)
	p.see(ctx)
	out := make([]Item, len(items))
	var errs []error
	for i, it := range items {
		en := p.loop.entries[it.Name]
		out[i] = en.once.item
		if !en.over {
			out[i].Action, out[i].Err = Failed, fmt.Errorf("daemon %s on %s: interrupted before it was settled", it.Name, p.loop.host.Name())
		}
		errs = append(errs, out[i].Err)
	}
	return out, errors.Join(append(errs, p.archive(ctx))...)
}

// see looks at what wasn't looked at after its steps, in one call.
func (p *applying) see(ctx context.Context) {
	var unseen []string
	for name, en := range p.loop.entries {
		if en.once.unseen {
			unseen = append(unseen, name)
		}
	}
	for _, o := range p.loop.look(ctx, unseen) {
		en := p.loop.entries[o.Name]
		en.once.item.Observed = o
		p.loop.followLost(en, conclusion{observed: o, acted: true})
	}
}

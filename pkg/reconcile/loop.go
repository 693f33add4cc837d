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

// loop brings a changing set of daemons to what they shall be: names wait in a queue, each is looked at, planned and acted on by one worker at a time.
// apply ends it when every entry is settled; a run doesn't end it.
type loop struct {
	*Engine
	queue  *Queue
	prober *Prober
	// policy is what differs between a one-time apply and a run.
	policy policy

	mu         sync.Mutex
	entries    map[string]*entry
	dependents map[string][]string
	holders    map[string]drivers.Holder
	passes     []*pass // that aren't over yet
}

// policy decides what becomes of an entry after each look. Its methods are called by the worker that has the entry, without locks.
type policy interface {
	// prepare is told what a look found, before anything is planned.
	prepare(ctx context.Context, en *entry, o spec.Observed)
	// needsHealth says whether the entry's readiness matters to anybody.
	needsHealth(en *entry) bool
	// watches says whether anybody has to know at once what became of the entry's steps. Where nobody does it isn't looked at for each by itself.
	watches(en *entry) bool
	// concluded is told what a look came to, and returns when to look again; zero: when something happens.
	concluded(ctx context.Context, en *entry, c conclusion) time.Duration
}

// conclusion is what one look at a daemon came to.
type conclusion struct {
	decision Decision
	observed spec.Observed // after the steps
	health   Health
	err      error // of the steps
	acted    bool
	unseen   bool // the steps were done, and observed is from before them
}

// entry is one daemon of the loop. Its fields belong to the worker that has its name, but for those under loop.mu.
type entry struct {
	name      string
	want      *spec.Daemon // nil: it shall go
	manual    bool
	restartOf string
	grace     *time.Duration // for a stop, instead of what was applied
	passive   bool           // only looked at, because others depend on it
	// seed is what a review has just found, so that the first look needs none.
	seed *spec.Observed
	// fails counts failed tries in a row; exits the ends of instances that weren't asked for.
	fails, exits int
	memory       *memory
	// acts counts the steps in a row that were done for the same reason, and lastAct is when the last of them was: what somebody undoes as fast as it is
	// done is done ever more slowly.
	acts    int
	lastAct time.Time
	lastWhy string
	once    oneTime // for a one-time apply

	trial     *trial     // the change that was just made has yet to prove itself
	probation *probation // it has, a moment ago
	verdict   verdict
	halted    bool // it was stopped for good, because of the verdict
	// abandon is why the instance that was started beside another one is given up; persist has it take that one's place though it isn't Ready.
	abandon string
	persist bool
	doomed  *spec.Revision // what failed just now, in case that can't be remembered on the disk

	// Under loop.mu, for others: whether it runs, is Ready, is settled for good, and whether its last change has yet to prove itself.
	up, ready, over, unproven bool
	uses                      []string // what the live one depends on, where it shall go
}

// memory is what an entry hands on to the entry that replaces it. It belongs to the worker that has the name, which may still be at work for the old entry.
type memory struct {
	lastExit string // instance whose end was told
	refusal  string // why nothing may be done, as it was told
	told     []spec.Condition
	toldOf   string // the instance that told speaks of
	known    known
	lost     []spec.Loss // what wasn't enforced at the last look
	looked   bool        // there was one
}

// workers bounds the daemons in hand at once; most of them only wait for a daemon to end.
const workers = 512

// batch bounds the daemons looked at in one call.
const batch = 256

func newLoop(e *Engine, p func(*loop) policy) *loop {
	l := &loop{Engine: e, queue: NewQueue(), entries: map[string]*entry{}, dependents: map[string][]string{}}
	l.prober = NewProber(ProberOptions{Probe: e.host.Probe, Concurrency: e.opt.Concurrency, Changed: func(name string, _ Health) { l.queue.Add(name) }})
	l.policy = p(l)
	return l
}

// put adds or replaces an entry and makes it due.
func (l *loop) put(en *entry) {
	en.memory = new(memory)
	l.mu.Lock()
	if old := l.entries[en.name]; old != nil {
		en.memory, en.up, en.ready = old.memory, old.up, old.ready
	}
	l.entries[en.name] = en
	l.link()
	l.mu.Unlock()
	l.queue.Add(en.name)
}

// link remembers who depends on whom; the caller holds l.mu.
func (l *loop) link() {
	clear(l.dependents)
	for _, en := range l.entries {
		if en.want == nil {
			continue
		}
		for _, d := range en.want.Spec.DependsOn {
			l.dependents[d.Name] = append(l.dependents[d.Name], en.name)
		}
	}
}

func (l *loop) entry(name string) *entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.entries[name]
}

// run hands out names until ctx ends: all that are due are looked at in one call, then each is worked on by itself.
func (l *loop) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, workers)
	probing, stop := context.WithCancel(ctx)
	defer stop()
	wg.Go(func() { _ = l.prober.Run(probing) })
	for {
		names := l.due(ctx)
		if names == nil {
			return
		}
		passes := l.underWay()
		found := l.lookOrTold(ctx, names, len(passes) == 0)
		for i, name := range names {
			slots <- struct{}{}
			wg.Go(func() {
				defer func() { <-slots }()
				l.work()
				again := l.handle(ctx, name, found[i])
				l.rest()
				l.queue.Done(name)
				if ctx.Err() == nil && !l.cut() {
					l.passed(name, passes)
				}
				if again > 0 {
					l.queue.AddAfter(name, again)
				}
			})
		}
	}
}

// due waits for the next name and returns it with all others that are due; nil when ctx has ended.
func (l *loop) due(ctx context.Context) []string {
	name, ok := l.queue.Get(ctx)
	if !ok {
		return nil
	}
	names := []string{name}
	for len(names) < batch {
		name, ok := l.queue.take()
		if !ok {
			break
		}
		names = append(names, name)
	}
	return names
}

// look observes names, but for those that a review has just observed. What can't be observed is Unknown.
func (l *loop) look(ctx context.Context, names []string) []spec.Observed {
	return l.lookOrTold(ctx, names, false)
}

// lookOrTold is look that, where told says so, asks for nothing that a watch has just brought.
func (l *loop) lookOrTold(ctx context.Context, names []string, told bool) []spec.Observed {
	found := make([]spec.Observed, len(names))
	var ask []string
	var at []int
	for i, n := range names {
		if en := l.entry(n); en != nil && en.seed != nil {
			found[i], en.seed = *en.seed, nil
			continue
		}
		if told {
			if o, ok := l.told(n); ok {
				found[i] = o
				continue
			}
		}
		ask, at = append(ask, n), append(at, i)
	}
	began := time.Now()
	got, err := l.observe(ctx, ask...)
	if l.opt.Meter != nil && len(ask) > 0 {
		l.opt.Meter.Looked(len(ask), time.Since(began), err)
	}
	for j, i := range at {
		if err != nil {
			found[i] = spec.Observed{Name: ask[j], State: spec.Unknown, Message: err.Error()}
			continue
		}
		found[i] = got[j]
	}
	return found
}

// handle plans for one daemon, acts, and returns when to look again.
func (l *loop) handle(ctx context.Context, name string, o spec.Observed) time.Duration {
	en := l.entry(name)
	if en == nil || ctx.Err() != nil {
		return 0
	}
	c := conclusion{observed: o, health: l.health(name, o)}
	l.tellExit(ctx, en, o)
	l.policy.prepare(ctx, en, o)
	if c.decision = l.plan(ctx, en, o, c.health); len(c.decision.Steps) > 0 {
		if wait := en.tooSoon(c.decision, time.Now()); wait > 0 {
			c.decision = Decision{Action: Waiting, Reason: fmt.Sprintf("%s; done %d times in a row, the next time in %s", c.decision.Reason, en.acts, wait.Round(time.Millisecond)), LookAgain: wait}
			return l.policy.concluded(ctx, en, c)
		}
		c.acted = true
		c.err = l.act(ctx, o, c.decision, en.once.deadline)
		if errors.Is(c.err, drivers.ErrMoved) {
			en.fails++
			return RetryDelay(name, en.fails)
		}
		if c.err == nil {
			en.halted = c.decision.Action == Stopped
			l.tellBack(en, o, c.decision)
		}
		en.manual = false
		if c.unseen = c.err == nil && !l.policy.watches(en); c.unseen {
			return l.policy.concluded(ctx, en, c)
		}
		c.observed = l.look(ctx, []string{name})[0]
		c.health = l.health(name, c.observed)
	}
	l.follow(en, &c)
	l.followLost(en, c)
	return l.policy.concluded(ctx, en, c)
}

// calm is how long nothing has to be done for a reason before it counts as new again.
const calm = 2 * lastRetry

// tooSoon says how long the steps of d have to wait because the same was done just before, and counts them where they needn't. Restarts after an end
// have a backoff of their own.
func (en *entry) tooSoon(d Decision, now time.Time) time.Duration {
	if d.Steps[len(d.Steps)-1].Restart || en.manual {
		return 0
	}
	if d.Reason != en.lastWhy || now.Sub(en.lastAct) > calm {
		en.acts, en.lastWhy = 0, d.Reason
	}
	if en.acts > 0 {
		if wait := RetryDelay(en.name, en.acts) - now.Sub(en.lastAct); wait > 0 {
			return wait
		}
	}
	en.acts, en.lastAct = en.acts+1, now
	return 0
}

// plan plans for one entry.
func (l *loop) plan(ctx context.Context, en *entry, o spec.Observed, h Health) Decision {
	if en.passive {
		return Decision{Action: Unchanged}
	}
	in, err := l.input(en, o, h)
	if err != nil {
		return Decision{Action: Refused, Reason: err.Error(), Err: err}
	}
	d := l.permitted(ctx, in, Plan(in))
	d.Rejected, d.Held = en.verdict.why, en.verdict.held
	if d.Action == Configured && (en.verdict.instead != nil || en.once.cause != nil) {
		d.Action, d.Reason = RolledBack, "its change failed, and what ran before comes back"
		for i := range d.Steps {
			d.Steps[i].Reason = d.Reason
		}
	}
	for i := range d.Steps {
		if d.Steps[i].Verb == spec.VerbStop && en.grace != nil {
			d.Steps[i].Stop.GracePeriod = spec.Duration(*en.grace)
		}
	}
	return d
}

// input gathers what Plan may know.
func (l *loop) input(en *entry, o spec.Observed, h Health) (Input, error) {
	in := Input{
		Name: en.name, Want: en.wanted(), Observed: o, Owner: l.opt.Owner, Force: l.opt.Force, Manual: en.manual, RestartOf: en.restartOf,
		Driver: o.Driver, Halt: en.verdict.halt, Halted: en.halted, Abandon: en.abandon, Ready: h.Ready && (en.trial == nil || en.trial.ripe) || en.persist,
	}
	if err := unmade(in.Want); err != nil && o.Stamp == nil {
		return in, fmt.Errorf("its program can't be made: %w", err)
	}
	if in.Want != nil {
		drv, err := l.driverFor(in.Want)
		if err != nil {
			return in, err
		}
		in.Driver = drv.Kind()
		in.MoveReason = l.moving(o.Driver, in.Driver)
		if hc := in.Want.Spec.Health; hc != nil && hc.OnFailure == spec.OnFailureRestart && h.Known && !h.Ready && en.probation == nil {
			in.Unhealthy = h.LastError
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	fillHolder(&in, l.holders)
	if en.want == nil {
		in.Blocked = l.lastUser(en)
	} else {
		in.Blocked = l.unmet(en)
	}
	return in, nil
}

// tellExit records an end that nobody asked for, once.
func (l *loop) tellExit(ctx context.Context, en *entry, o spec.Observed) {
	if o.State != spec.Exited || o.Instance == nil || o.Instance.Exit == nil || o.Instance.Exit.Asked || en.memory.lastExit == o.Instance.ID {
		return
	}
	l.recall(ctx, en)
	en.memory.lastExit = o.Instance.ID
	en.exits++
	kind := "Warning"
	if !failed(o) {
		kind = "Normal"
	}
	if was := en.memory.known; !was.ended || was.id != o.Instance.ID {
		l.host.Record(spec.Event{At: time.Now().Add(-o.Instance.Exit.Since), Name: en.name, Type: kind, Reason: "Exited", Message: Ending(o)})
	}
	l.report(en.name, "exited", Ending(o))
}

// tellRefusal says, once, why nothing may be done to a daemon.
func (l *loop) tellRefusal(en *entry, d Decision) {
	why := ""
	if d.Err != nil {
		why = d.Reason
	}
	if why != "" && why != en.memory.refusal {
		l.warn(en.name, "Refused", why)
		l.report(en.name, string(Refused), why)
	}
	en.memory.refusal = why
}

// health is what is known of the health of the instance that was observed.
func (l *loop) health(name string, o spec.Observed) Health {
	if h, ok := l.prober.Health(name); ok && h.Instance == instanceID(o) {
		return h
	}
	return Health{}
}

func instanceID(o spec.Observed) string {
	if o.Instance == nil {
		return ""
	}
	return o.Instance.ID
}

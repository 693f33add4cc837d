package reconcile

import (
	"context"
	"reflect"
	"sync"
	"time"

	"reconciler.dev/reconciler/pkg/spec"
)

// ProberOptions are what a Prober needs.
type ProberOptions struct {
	// Probe does one check and returns nil when it passed. It must return soon after its ctx has ended, as it does when the check's timeout
	// is over.
	Probe func(ctx context.Context, name string, check spec.Health) error
	// Changed is called when the verdict on an instance changed: never twice at once for one name, from any goroutine. Another instance may
	// be followed already; h says which it speaks of. It may call the Prober, and should return soon. May be nil.
	Changed func(name string, h Health)
	// Concurrency is how many checks may be under way at once. Default: 64.
	Concurrency int
	// Clocks tells a sleep of the machine. Default: SystemClocks.
	Clocks func() Clocks
}

const defaultConcurrency = 64

// Prober makes the health checks of many daemons, each when its Tracker says that it is due. A daemon costs one entry in a queue while it
// waits, and a goroutine only while it is checked; one without a health check costs nothing once it is Ready.
//
// All methods may be called concurrently, before and during Run. Make one with NewProber.
type Prober struct {
	o     ProberOptions
	queue *Queue
	slots chan struct{}

	mu      sync.Mutex
	tracked map[string]*tracked
	clocks  Clocks // as last read
}

// tracked is one daemon. Its fields are guarded by Prober.mu.
type tracked struct {
	tracker *Tracker
	check   *spec.Health
	due     time.Time // of the next check; zero: there is none
	era     int       // counts new instances and new checks: the result of a check that was begun in an earlier one is void
}

// NewProber returns a prober that follows no daemon yet.
func NewProber(o ProberOptions) *Prober {
	if o.Concurrency <= 0 {
		o.Concurrency = defaultConcurrency
	}
	if o.Clocks == nil {
		o.Clocks = SystemClocks()
	}
	if o.Changed == nil {
		o.Changed = func(string, Health) {}
	}
	return &Prober{o: o, queue: NewQueue(), slots: make(chan struct{}, o.Concurrency), tracked: map[string]*tracked{}, clocks: o.Clocks()}
}

// Follow makes the checks of that instance of name, which has been up for so long; check is nil where there is none to make. Called
// again with the same arguments (up aside) it does nothing; another instance starts from nothing, and another check of the same instance
// keeps the verdict until it comes to its own.
func (p *Prober) Follow(name string, check *spec.Health, instance string, up time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	t := p.tracked[name]
	switch {
	case t == nil:
		t = &tracked{tracker: NewTracker(check, instance, now.Add(-up))}
		p.tracked[name] = t
	case t.tracker.Health().Instance != instance:
		t.tracker = NewTracker(check, instance, now.Add(-up))
	case !reflect.DeepEqual(t.check, check):
		t.tracker.Check(check)
	default:
		return
	}
	t.check = check
	t.era++
	p.schedule(name, t, now)
}

// Forget ends the checks of name: it has ended, or is no business of ours any more.
func (p *Prober) Forget(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.tracked, name) // its place in the queue comes to nothing
}

// Health returns what is known of name, and false for one that isn't followed.
func (p *Prober) Health(name string) (Health, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.tracked[name]
	if t == nil {
		return Health{}, false
	}
	return t.tracker.Health(), true
}

// Run makes checks until ctx ends, waits for those under way, and returns ctx.Err(). It can be called once.
func (p *Prober) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	defer p.queue.Shutdown()
	for {
		name, ok := p.queue.Get(ctx)
		if !ok {
			return ctx.Err()
		}
		select {
		case p.slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		running.Go(func() {
			defer func() { <-p.slots }()
			defer p.queue.Done(name)
			p.probe(ctx, name)
		})
	}
}

// probe makes one check of name, if it is due, and says so when that changes the verdict.
func (p *Prober) probe(ctx context.Context, name string) {
	p.mu.Lock()
	p.noticeSleep()
	t := p.due(name)
	if t == nil {
		p.mu.Unlock()
		return
	}
	check, era := t.check, t.era
	p.mu.Unlock()

	var result error
	if check != nil {
		result = p.check(ctx, name, *check)
	}
	if ctx.Err() != nil {
		return // the result says more about us than about the daemon
	}
	if h, changed := p.result(name, t, era, result); changed {
		p.o.Changed(name, h)
	}
}

// due returns name where its check is due. The queue may hold a place from before the last Follow or Forget. The caller holds p.mu.
func (p *Prober) due(name string) *tracked {
	t := p.tracked[name]
	if t == nil || t.due.IsZero() {
		return nil
	}
	if wait := time.Until(t.due); wait > 0 {
		p.queue.AddAfter(name, wait)
		return nil
	}
	return t
}

func (p *Prober) check(ctx context.Context, name string, check spec.Health) error {
	if check.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, check.Timeout.D())
		defer cancel()
	}
	return p.o.Probe(ctx, name, check)
}

// result counts the result of a check and schedules the next one.
func (p *Prober) result(name string, t *tracked, era int, result error) (Health, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.noticeSleep()
	now := time.Now()
	if p.tracked[name] != t {
		return Health{}, false // no longer followed, or anew: that has its own place in the queue
	}
	changed := false
	if t.era == era {
		changed = t.tracker.Observe(result, now)
	}
	p.schedule(name, t, now)
	return t.tracker.Health(), changed
}

// schedule puts name into the queue for its next check. The caller holds p.mu.
func (p *Prober) schedule(name string, t *tracked, now time.Time) {
	t.due = time.Time{}
	if d, again := t.tracker.Next(now); again {
		t.due = now.Add(d)
		p.queue.AddAfter(name, d)
	}
}

// noticeSleep tells all trackers when the machine slept since it was last called. The caller holds p.mu.
func (p *Prober) noticeSleep() {
	clocks := p.o.Clocks()
	slept := Slept(p.clocks, clocks)
	p.clocks = clocks
	if slept == 0 {
		return
	}
	now := time.Now()
	for name, t := range p.tracked {
		t.tracker.Woke(now)
		p.schedule(name, t, now)
	}
}

package reconcile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/pkg/spec"
)

// patient is the daemons that a prober looks at: which of them are well, and what was done to them.
type patient struct {
	mu      sync.Mutex
	t0      time.Time
	ill     map[string]error
	takes   time.Duration // of a check
	checks  map[string][]time.Duration
	changes []string
	asleep  time.Duration
}

func (p *patient) probe(ctx context.Context, name string, _ spec.Health) error {
	p.mu.Lock()
	p.checks[name] = append(p.checks[name], time.Since(p.t0))
	err, takes := p.ill[name], p.takes
	p.mu.Unlock()
	select {
	case <-time.After(takes):
		return err
	case <-ctx.Done():
		return fmt.Errorf("probe %s: %w", name, ctx.Err())
	}
}

func (p *patient) changed(name string, h Health) {
	p.mu.Lock()
	defer p.mu.Unlock()
	verdict := "unwell: " + h.LastError
	if h.Ready {
		verdict = "ready"
	}
	p.changes = append(p.changes, fmt.Sprintf("%s/%s %s", name, h.Instance, verdict))
}

func (p *patient) clocks() Clocks {
	p.mu.Lock()
	defer p.mu.Unlock()
	awake := time.Since(p.t0)
	return Clocks{Awake: awake, Total: awake + p.asleep}
}

func (p *patient) set(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

func (p *patient) checksOf(name string) []time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]time.Duration(nil), p.checks[name]...)
}

func (p *patient) want(t *testing.T, changes ...string) {
	t.Helper()
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if diff := cmp.Diff(changes, p.changes); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	p.changes = nil
}

// withProber runs f in a bubble of fake time beside a running prober.
func withProber(t *testing.T, concurrency int, f func(t *testing.T, p *patient, pr *Prober)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := &patient{t0: time.Now(), ill: map[string]error{}, checks: map[string][]time.Duration{}}
		pr := NewProber(ProberOptions{Probe: p.probe, Changed: p.changed, Concurrency: concurrency, Clocks: p.clocks})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- pr.Run(ctx) }()
		f(t, p, pr)
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run = %v", err)
		}
	})
}

func TestProberFollowsADaemonThroughItsLife(t *testing.T) {
	withProber(t, 0, func(t *testing.T, p *patient, pr *Prober) {
		p.set(func() { p.ill["web"] = errRefused })
		pr.Follow("web", check(30*time.Second, 1, 3), "one", 0)
		time.Sleep(5 * time.Second)
		p.want(t)
		p.set(func() { delete(p.ill, "web") })
		time.Sleep(5 * time.Second)
		p.want(t, "web/one ready")
		p.set(func() { p.ill["web"] = errRefused })
		time.Sleep(35 * time.Second)
		p.want(t, "web/one unwell: connection refused")
		pr.Follow("web", check(30*time.Second, 1, 3), "two", 0)
		time.Sleep(20 * time.Second)
		p.want(t)
		if h, ok := pr.Health("web"); !ok || h.Known || h.Instance != "two" {
			t.Errorf("Health = %+v, %v", h, ok)
		}
		pr.Forget("web")
		before := len(p.checksOf("web"))
		time.Sleep(time.Hour)
		if h, ok := pr.Health("web"); ok || len(p.checksOf("web")) != before {
			t.Errorf("forgotten, but Health = %+v, and %d checks", h, len(p.checksOf("web"))-before)
		}
	})
}

func TestProberFollowAgainChangesNothing(t *testing.T) {
	withProber(t, 0, func(t *testing.T, p *patient, pr *Prober) {
		for range 100 {
			pr.Follow("web", check(30*time.Second, 1, 3), "one", time.Hour)
			time.Sleep(time.Second)
		}
		p.want(t, "web/one ready")
		if n := len(p.checksOf("web")); n < 9 || n > 12 {
			t.Errorf("%d checks in 100 s, the interval being 10 s", n)
		}
	})
}

func TestProberWithoutACheck(t *testing.T) {
	withProber(t, 0, func(t *testing.T, p *patient, pr *Prober) {
		pr.Follow("new", nil, "one", 0)
		pr.Follow("old", nil, "one", time.Hour)
		synctest.Wait()
		p.want(t, "old/one ready")
		time.Sleep(UpFor - 1)
		p.want(t)
		time.Sleep(time.Nanosecond)
		p.want(t, "new/one ready")
		time.Sleep(time.Hour)
		p.want(t)
	})
}

// TestProberNewInstanceIsNotReadyByTheTimeOfTheOldOne: the place in the queue that the old instance left behind must not count for the new.
func TestProberNewInstanceIsNotReadyByTheTimeOfTheOldOne(t *testing.T) {
	withProber(t, 0, func(t *testing.T, p *patient, pr *Prober) {
		pr.Follow("web", nil, "one", 0)
		time.Sleep(UpFor - 1)
		pr.Follow("web", nil, "two", 0)
		time.Sleep(UpFor - 1)
		p.want(t)
		time.Sleep(time.Nanosecond)
		p.want(t, "web/two ready")
	})
}

func TestProberVoidsTheResultOfAnEarlierInstance(t *testing.T) {
	withProber(t, 0, func(t *testing.T, p *patient, pr *Prober) {
		p.set(func() { p.takes = time.Second })
		pr.Follow("web", check(30*time.Second, 1, 3), "one", time.Hour)
		for len(p.checksOf("web")) == 0 {
			time.Sleep(time.Millisecond)
		}
		pr.Follow("web", check(30*time.Second, 1, 3), "two", 0) // the answer under way is the old process's
		time.Sleep(time.Second)
		p.want(t)
		time.Sleep(2 * time.Second)
		if h, _ := pr.Health("web"); !h.Ready || h.Instance != "two" {
			t.Errorf("the new instance isn't ready by its own answer: %+v", h)
		}
	})
}

func TestProberCheckChangesLive(t *testing.T) {
	withProber(t, 0, func(t *testing.T, p *patient, pr *Prober) {
		pr.Follow("web", check(0, 1, 3), "one", time.Hour)
		time.Sleep(2 * time.Second)
		p.want(t, "web/one ready")
		p.set(func() { p.ill["web"] = errRefused })
		quick := check(0, 1, 2)
		quick.Interval = spec.Duration(time.Second)
		pr.Follow("web", quick, "one", time.Hour)
		if h, _ := pr.Health("web"); !h.Ready {
			t.Errorf("a new check took the verdict away: %+v", h)
		}
		time.Sleep(3 * time.Second)
		if h, _ := pr.Health("web"); h.Ready || !h.Known {
			t.Errorf("the new check's threshold and interval have no effect: %+v", h)
		}
	})
}

func TestProberTimeout(t *testing.T) {
	withProber(t, 0, func(t *testing.T, p *patient, pr *Prober) {
		p.set(func() { p.takes = time.Hour })
		pr.Follow("web", check(0, 1, 1), "one", time.Hour)
		time.Sleep(adoptProbes + 2*time.Second)
		p.want(t, "web/one unwell: probe web: context deadline exceeded")
	})
}

func TestProberConcurrencyIsCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		pr := NewProber(ProberOptions{Concurrency: 3, Clocks: func() Clocks { return Clocks{} }, Probe: func(context.Context, string, spec.Health) error {
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(100 * time.Millisecond)
			now.Add(-1)
			return nil
		}})
		ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second)
		defer cancel()
		for i := range 60 {
			pr.Follow(fmt.Sprint("daemon-", i), check(30*time.Second, 1, 3), fmt.Sprint(i), time.Hour)
		}
		if err := pr.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Run = %v", err)
		}
		if most.Load() != 3 {
			t.Errorf("%d checks at once, want 3", most.Load())
		}
		for i := range 60 {
			if h, _ := pr.Health(fmt.Sprint("daemon-", i)); !h.Ready {
				t.Errorf("daemon-%d was not reached: %+v", i, h)
			}
		}
	})
}

func TestProberGivesAFreshStartPeriodAfterASleep(t *testing.T) {
	withProber(t, 0, func(t *testing.T, p *patient, pr *Prober) {
		pr.Follow("web", check(20*time.Second, 1, 1), "one", time.Hour)
		time.Sleep(2 * time.Second)
		pr.Follow("db", check(0, 1, 1), "one", time.Hour)
		time.Sleep(2 * time.Second)
		p.want(t, "web/one ready", "db/one ready")
		p.set(func() {
			p.asleep += time.Hour
			p.ill["web"], p.ill["db"] = errRefused, errRefused
		})
		time.Sleep(15 * time.Second)
		p.want(t, "db/one unwell: connection refused")
		if h, _ := pr.Health("web"); !h.Ready || h.LastError == "" {
			t.Errorf("web lost its verdict in the start period after a sleep: %+v", h)
		}
		p.set(func() { delete(p.ill, "web") })
		time.Sleep(time.Minute)
		p.want(t)
	})
}

func TestProberEndsWithoutAVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &patient{t0: time.Now(), takes: time.Second, checks: map[string][]time.Duration{}}
		pr := NewProber(ProberOptions{Probe: p.probe, Changed: p.changed, Clocks: p.clocks})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		pr.Follow("web", check(time.Second, 1, 1), "one", 0)
		pr.Run(ctx)
		p.want(t)
		if h, _ := pr.Health("web"); h.Known || len(p.checks["web"]) != 1 {
			t.Errorf("a check that was cut off counted: %+v, %d checks", h, len(p.checks["web"]))
		}
	})
}

// bubbled counts the goroutines of this test's bubble: those of the runtime, and of other tests, come and go.
func bubbled() int {
	stacks := make([]byte, 1<<20)
	return bytes.Count(stacks[:runtime.Stack(stacks, true)], []byte("synctest bubble"))
}

func TestProberCostsNoGoroutineForADaemon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pr := NewProber(ProberOptions{Probe: func(context.Context, string, spec.Health) error { return nil }, Clocks: func() Clocks { return Clocks{} }})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- pr.Run(ctx) }()
		synctest.Wait()
		before := bubbled()
		if before < 2 {
			t.Fatalf("counted %d goroutines, where there are this one and the prober's", before)
		}
		for i := range 500 {
			pr.Follow(fmt.Sprint("unchecked-", i), nil, fmt.Sprint(i), 0)
			pr.Follow(fmt.Sprint("checked-", i), check(time.Second, 1, 3), fmt.Sprint(i), time.Hour)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if after := bubbled(); after > before {
			t.Errorf("%d goroutines for 1000 daemons between their checks", after-before)
		}
		for i := range 500 {
			if len(pr.queue.items) > 500 {
				t.Fatalf("%d daemons wait for a check, of 500 that have one", len(pr.queue.items))
			}
			if h, _ := pr.Health(fmt.Sprint("unchecked-", i)); !h.Ready {
				t.Fatalf("unchecked-%d: %+v", i, h)
			}
		}
		cancel()
		<-ended
	})
}

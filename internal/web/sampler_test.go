package web_test

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"reconciler.dev/reconciler/internal/web"
	"reconciler.dev/reconciler/pkg/spec"
)

// machine is a host whose one daemon uses half a core and, each second, a byte more.
type machine struct {
	boot  time.Time
	mu    sync.Mutex
	reads int
	err   error
	slow  time.Duration
}

func (m *machine) read(ctx context.Context, _ time.Duration) ([]spec.Sample, error) {
	m.mu.Lock()
	m.reads++
	slow, err := m.slow, m.err
	m.mu.Unlock()
	if slow > 0 {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(slow):
		}
	}
	up := time.Since(m.boot)
	used, memory := up/2, int64(up/time.Second)
	return []spec.Sample{
		{Name: "web", State: spec.Running, Instance: "1", Clock: up, CPU: spec.CPUUse{Usage: &used}, Memory: spec.MemoryUse{Current: &memory}},
		{Name: "gone", State: spec.Absent},
	}, err
}

func (m *machine) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.reads
}

func (m *machine) set(f func(*machine)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(m)
}

// sampling has a sampler keep a machine until the test or stop ends.
func sampling(t *testing.T, m *machine) (s *web.Sampler, stop func()) {
	s = new(web.Sampler)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); s.Keep(ctx, "localhost", m.read) }()
	synctest.Wait()
	return s, func() { cancel(); <-ended }
}

// TestAHostIsReadOnceHoweverManyAsk for figures of an age that they accept.
func TestAHostIsReadOnceHoweverManyAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &machine{boot: time.Now()}
		s, stop := sampling(t, m)
		defer stop()
		time.Sleep(2500 * time.Millisecond)
		m.set(func(m *machine) { m.reads, m.slow = 0, 100*time.Millisecond })
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { s.Measure(t.Context(), time.Second) })
		}
		wg.Wait()
		if m.reads != 1 {
			t.Errorf("20 who asked at once had the host read %d times", m.reads)
		}
		time.Sleep(time.Second)
		s.Measure(t.Context(), 2*time.Second)
		if m.reads != 1 {
			t.Error("figures that are young enough were read again")
		}
		s.Measure(t.Context(), time.Second)
		if u, ok := s.Usage("localhost", "web"); m.reads != 2 || !ok || u.Rates.CPU == nil || math.Abs(*u.Rates.CPU-0.5) > 1e-9 {
			t.Errorf("after %d reads it uses %+v", m.reads, u.Rates)
		}
		if _, ok := s.Usage("localhost", "gone"); ok {
			t.Error("a daemon that isn't there uses something")
		}
	})
}

// TestFiguresGoWithTheirHost: what can't be read isn't known, and least of all is it what it was.
func TestFiguresGoWithTheirHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &machine{boot: time.Now()}
		s, stop := sampling(t, m)
		known := func() bool { _, ok := s.Usage("localhost", "web"); return ok }
		time.Sleep(2 * time.Second)

		m.set(func(m *machine) { m.slow = time.Minute })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		s.Measure(ctx, 0)
		cancel()
		if !known() {
			t.Error("figures are gone because one who asked didn't wait")
		}
		time.Sleep(time.Minute)
		if known() {
			t.Error("figures of a host that doesn't answer are still told")
		}
		m.set(func(m *machine) { m.slow = 0 })
		s.Measure(t.Context(), 0)
		if !known() {
			t.Error("it answers again, and nothing is known")
		}
		m.set(func(m *machine) { m.err = errors.New("no such machine") })
		time.Sleep(time.Second)
		s.Measure(t.Context(), 0)
		if known() {
			t.Error("figures of a host that can't be read are told")
		}
		m.set(func(m *machine) { m.err = nil })
		s.Measure(t.Context(), 0)
		stop()
		time.Sleep(time.Second)
		reads := m.reads
		s.Measure(t.Context(), 0)
		if known() || m.reads != reads {
			t.Error("a host that isn't kept is read")
		}
		if len(s.Past("localhost", "web")) == 0 {
			t.Error("the last hour is forgotten with the link")
		}
		if s.Forget("localhost"); len(s.Past("localhost", "web")) != 0 {
			t.Error("the last hour of a host that nobody keeps is remembered")
		}
	})
}

// TestTheLastHour is bounded, tells the share of each interval, and has gaps where nothing was known.
func TestTheLastHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &machine{boot: time.Now()}
		s, stop := sampling(t, m)
		defer stop()
		time.Sleep(2*time.Hour - 5*time.Minute + time.Second) // between two points
		m.set(func(m *machine) { m.err = errors.New("no such machine") })
		time.Sleep(time.Minute)
		m.set(func(m *machine) { m.err = nil })
		time.Sleep(4 * time.Minute)
		points := s.Past("localhost", "web")
		if n := len(points); n != web.PastPoints {
			t.Fatalf("%d points, want %d", n, web.PastPoints)
		}
		gaps, without := 0, 0
		for i, p := range points {
			switch {
			case p.Memory == nil:
				gaps++
			case p.CPU == nil:
				without++
			case math.Abs(*p.CPU-0.5) > 1e-6:
				t.Errorf("at %v it used %v of a core, want 0.5", p.At, *p.CPU)
			}
			if i > 0 && p.At.Sub(points[i-1].At) != web.PastEvery {
				t.Errorf("%v lie between two points", p.At.Sub(points[i-1].At))
			}
		}
		if gaps != 4 || without != 1 {
			t.Errorf("%d points know nothing and %d no share, want 4 of the minute without figures, and the first after it", gaps, without)
		}
		if s.Past("localhost", "none") != nil || s.Past("other", "web") != nil {
			t.Error("there is a past of what never was")
		}
	})
}

// TestFiguresAreReadBeforeTheyAreAskedFor by who comes at regular intervals, be they one or two; and once more at most when they cease to.
func TestFiguresAreReadBeforeTheyAreAskedFor(t *testing.T) {
	for _, c := range []struct {
		name string
		gaps []time.Duration
	}{
		{"one", []time.Duration{7 * time.Second}},
		{"one, a little late or early", []time.Duration{7 * time.Second, 7200 * time.Millisecond, 6900 * time.Millisecond}},
		{"two", []time.Duration{3 * time.Second, 4 * time.Second}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &machine{boot: time.Now(), slow: 100 * time.Millisecond}
				s, stop := sampling(t, m)
				defer stop()
				time.Sleep(time.Second)
				for i := range 40 {
					time.Sleep(c.gaps[i%len(c.gaps)])
					began := time.Now()
					s.Measure(t.Context(), time.Second)
					if waited := time.Since(began); i > 4 && waited > 0 {
						t.Errorf("who asks for the %dth time waits %v", i+1, waited)
					}
					synctest.Wait()
				}
				m.set(func(m *machine) { m.reads = 0 })
				time.Sleep(time.Minute)
				if n := m.count(); n > 5 {
					t.Errorf("%d reads in a minute in which nobody asks, want four and one", n)
				}
			})
		})
	}
}

// TestWhoTakesFiguresAsTheyAreWaitsForTheFirstOnly, and finds those of the last hour; and once they come at regular intervals, figures that were read for them.
func TestWhoTakesFiguresAsTheyAreWaitsForTheFirstOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &machine{boot: time.Now(), slow: 2 * time.Second}
		s, stop := sampling(t, m)
		defer stop()
		ask := func(within time.Duration) (waited, old time.Duration) {
			ctx, cancel := context.WithTimeout(t.Context(), within)
			defer cancel()
			began := time.Now()
			s.Expect(ctx, time.Second)
			u, _ := s.Usage("localhost", "web")
			return time.Since(began), time.Since(u.Read)
		}
		if waited, _ := ask(time.Second); waited != time.Second {
			t.Errorf("before there are any, who has a second waits %v", waited)
		}
		if waited, old := ask(time.Minute); waited != time.Second || old != 2*time.Second {
			t.Errorf("for figures that come after another second one waits %v, and they are %v old", waited, old)
		}
		for i, gap := range []time.Duration{4 * time.Second, 9 * time.Second, 5 * time.Second} {
			time.Sleep(gap)
			if waited, old := ask(time.Minute); waited != 0 || i > 0 && old > gap {
				t.Errorf("who takes figures as they are %v after another waits %v for some %v old", gap, waited, old)
			}
		}
		m.set(func(m *machine) { m.slow = 100 * time.Millisecond })
		for i := range 40 {
			time.Sleep(7 * time.Second)
			if waited, old := ask(time.Minute); waited != 0 || i > 4 && old > time.Second {
				t.Errorf("who comes each 7 s for the %dth time waits %v for figures %v old", i+1, waited, old)
			}
		}
	})
}

// TestNobodyIsExpectedWhoComesAsTheyLike.
func TestNobodyIsExpectedWhoComesAsTheyLike(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &machine{boot: time.Now()}
		s, stop := sampling(t, m)
		defer stop()
		for _, gap := range []time.Duration{2, 9, 3, 30, 5, 50, 2, 20, 4} {
			time.Sleep(gap * time.Second)
			s.Measure(t.Context(), time.Second)
		}
		if n := m.count(); n > 9+125/15+1 {
			t.Errorf("%d reads: somebody was expected", n)
		}
	})
}

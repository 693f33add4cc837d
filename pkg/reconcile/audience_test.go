package reconcile

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// listener is an audience and a meter.
type listener struct {
	mu    sync.Mutex
	seen  map[string]View
	gone  []string
	looks int
	steps []string
}

func (l *listener) Seen(v View) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen[v.Observed.Name] = v
}

func (l *listener) LetGo(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.seen, name)
	l.gone = append(l.gone, name)
}

func (l *listener) Looked(daemons int, _ time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.looks += daemons; err != nil {
		l.steps = append(l.steps, err.Error())
	}
}

func (l *listener) Stepped(verb spec.Verb, _ time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	word := string(verb)
	if err != nil {
		word += " failed"
	}
	l.steps = append(l.steps, word)
}

func (l *listener) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.seen)
}

func (l *listener) word(name string) Word {
	l.mu.Lock()
	defer l.mu.Unlock()
	v, there := l.seen[name]
	if !there {
		return ""
	}
	return Summary(v.Observed, v.Conditions)
}

// TestRunTellsItsAudience what it finds, as long as a daemon is its business, and never of what it only looks at because others depend on it.
func TestRunTellsItsAudience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &listener{seen: map[string]View{}}
		b := newBench()
		other := b.engine(func(o *Options) { o.Owner.Set = "other" })
		r, err := other.Review(t.Context(), []*spec.Daemon{manifest("db")}, PruneOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := other.Apply(t.Context(), r, ApplyOptions{}); err != nil {
			t.Fatal(err)
		}
		k := keep(t, b, RunOptions{Prune: PruneOptions{Enabled: true}, Audience: l}, manifest("a"), manifest("b"), manifest("c", needs("db")))
		for _, name := range []string{"a", "b", "c"} {
			if w := l.word(name); w != WordCurrent {
				t.Errorf("%s is told to be %q", name, w)
			}
		}
		if w := l.word("db"); w != "" {
			t.Errorf("db, which isn't of this run, is told to be %q", w)
		}
		k.Fake().Fail(spec.VerbStart, "a", errors.New("no room"))
		k.crash(t, "a")
		if w := l.word("a"); w == WordCurrent {
			t.Error("that a ended isn't told")
		}
		k.src.set(nil, manifest("a"), manifest("b"))
		k.after(10 * time.Second)
		if !slices.Equal(slices.Compact(l.gone), []string{"c"}) || l.word("c") != "" {
			t.Errorf("let go of %v, and c is %q", l.gone, l.word("c"))
		}
	})
}

// TestRunPassesOnce: Passed says that all was looked at, also where there is nothing.
func TestRunPassesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, wants := range [][]*spec.Daemon{nil, {manifest("a"), manifest("b")}} {
			l := &listener{seen: map[string]View{}}
			passed, seen := 0, 0
			k := keep(t, newBench(), RunOptions{Audience: l, Resync: time.Minute, Passed: func() { passed++; seen = l.count() }}, wants...)
			k.after(time.Hour)
			if passed != 1 || seen != len(wants) {
				t.Errorf("passed %d times, having seen %d of %d", passed, seen, len(wants))
			}
			_ = k.stop()
		}
	})
}

func TestMeter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &listener{seen: map[string]View{}}
		b := newBench()
		e := b.engine(func(o *Options) { o.Meter = l })
		src := &manifests{wants: []*spec.Daemon{manifest("a")}}
		go func() { _ = e.Run(t.Context(), src, RunOptions{Holder: drivers.Holder{ID: "1", Set: "default"}}) }()
		synctest.Wait()
		if l.looks < 2 || !slices.Equal(l.steps, []string{"Start"}) {
			t.Errorf("%d looks and steps %v, want one before the start and one after it", l.looks, l.steps)
		}
	})
}

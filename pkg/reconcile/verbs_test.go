package reconcile

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

func (b *bench) applies(t *testing.T, want string, d *spec.Daemon) {
	t.Helper()
	got, err := b.apply(t, ApplyOptions{}, PruneOptions{}, d)
	if err != nil {
		t.Fatal(err)
	}
	alike(t, "apply", got, want)
}

// TestAStopOutlivesItsDaemon is a machine after a reboot: a user's stop is remembered on disk, and the stamp of the daemon was kept in memory.
func TestAStopOutlivesItsDaemon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		pause := spec.Step{Verb: spec.VerbPause, Name: "a", By: "alice", Driver: b.Fake().Kind()}
		if err := b.Fake().Apply(t.Context(), pause); err != nil {
			t.Fatal(err)
		}
		b.applies(t, "a paused", manifest("a"))
		stopped, err := b.e.Stop(t.Context(), []string{"a"}, "bob")
		if err != nil {
			t.Fatal(err)
		}
		alike(t, "stop", words(stopped), "a unchanged")

		b.mustApply(t, manifest("b"))
		started, err := b.e.Start(t.Context(), []string{"a", "b"}, ApplyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		alike(t, "start", words(started), "a waiting", "b unchanged")
		b.applies(t, "a created", manifest("a"))
	})
}

// TestAStopComesTooLate deletes a daemon between the look and the stop: nothing of the stop may stay behind.
func TestAStopComesTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.mustApply(t, manifest("a"))
		pause := spec.Step{Verb: spec.VerbPause, Name: "a", By: "alice", Driver: b.Fake().Kind(), Instance: instanceID(b.state(t, "a"))}
		if _, err := b.e.Delete(t.Context(), []string{"a"}, DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		b.e.work() // as whoever does a step is
		defer b.e.rest()
		if err := b.e.untilStill(t.Context(), pause); !errors.Is(err, drivers.ErrNotFound) {
			t.Errorf("got %v, want not found", err)
		}
		b.applies(t, "a created", manifest("a"))
	})
}

// TestConcurrencyCountsWholeStops stops daemons that take a second to end: who says how many at a time doesn't mean those that are signalled, but those that are on their way.
func TestConcurrencyCountsWholeStops(t *testing.T) {
	for concurrency, want := range map[int]time.Duration{0: time.Second, 1: 4 * time.Second, 2: 2 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(func(o *Options) { o.Concurrency = concurrency })
			names := []string{"a", "b", "c", "d"}
			for _, n := range names {
				b.Fake().Behave(n, driverstest.Behaviour{Signal: func(p *driverstest.Proc, _ spec.Signal) {
					p.After(time.Second, func() { p.Exit(0) })
				}})
				b.mustApply(t, manifest(n))
			}
			began := time.Now()
			if _, err := b.e.Stop(t.Context(), names, "alice"); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began).Round(time.Second); took != want {
				t.Errorf("%d at a time took %v, want %v", concurrency, took, want)
			}
		})
	}
}

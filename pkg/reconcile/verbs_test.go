package reconcile

import (
	"errors"
	"testing"
	"testing/synctest"

	"reconciler.dev/reconciler/pkg/drivers"
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

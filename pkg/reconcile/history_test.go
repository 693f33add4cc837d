package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"reconciler.dev/reconciler/pkg/spec"
)

// remembered lists the revisions of web, and which of them were seen Ready.
func (b *bench) remembered(t *testing.T) (got []string) {
	t.Helper()
	revs, err := b.History(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range revs {
		word := "never ready"
		if r.Ready {
			word = "ready"
		}
		got = append(got, fmt.Sprintf("%d %s", r.Generation, word))
	}
	return got
}

func TestHistorySaysWhatWasSeenReady(t *testing.T) {
	wait := ApplyOptions{Wait: true, Timeout: 10 * time.Second, Rollback: true}
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		apply := func(o ApplyOptions, want *spec.Daemon) { _, _ = b.apply(t, o, PruneOptions{}, want) } // the history tells how it ended
		apply(wait, manifest("web", checked()))
		alike(t, "waited for", b.remembered(t), "1 ready")

		apply(ApplyOptions{}, manifest("web", checked(), args("unproven")))
		alike(t, "not waited for", b.remembered(t), "1 ready", "2 never ready")

		b.Probes(func(ctx context.Context, _ string, _ spec.Health) error {
			if b.state(t, "web").Stamp.Generation == 3 {
				return errors.New("HTTP 500")
			}
			return nil
		})
		apply(wait, manifest("web", checked(), args("bad")))
		alike(t, "rolled back", b.remembered(t), "1 ready", "2 never ready", "3 never ready", "4 ready")
	})
}

func TestHistoryOfARunSaysWhatWasSeenReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		k := keep(t, b, RunOptions{}, manifest("web", checked()))
		k.after(5 * time.Second)
		k.src.set(nil, manifest("web", checked(), args("new")))
		k.after(5 * time.Second)
		alike(t, "history", b.remembered(t), "1 ready", "2 never ready")
	})
}

// TestWhatWasGoodIsGoneBackTo though it is unwell in the moment in which it is replaced: not the one before it, which was good once, too.
func TestWhatWasGoodIsGoneBackTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		var unwell atomic.Bool
		b.Probes(func(context.Context, string, spec.Health) error {
			if unwell.Load() || slices.Contains(b.state(t, "web").Stamp.Spec.Args, "bad") {
				return errors.New("HTTP 500")
			}
			return nil
		})
		version := func(word string) *spec.Daemon { return manifest("web", checked(), updated(), args(word)) }
		k := keep(t, b, RunOptions{}, version("one"))
		k.after(10 * time.Minute)
		k.src.set(nil, version("two"))
		k.after(10 * time.Minute)
		unwell.Store(true)
		k.after(time.Minute)
		k.src.set(nil, version("bad"))
		k.after(time.Second)
		unwell.Store(false)
		k.after(5 * time.Minute)
		if r := running(t, b); r != "Running two" {
			t.Errorf("it is %s", r)
		}
		alike(t, "history", b.remembered(t), "1 ready", "2 ready", "3 never ready", "4 never ready")
	})
}

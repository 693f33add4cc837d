package reconcile

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"reconciler.dev/reconciler/pkg/spec"
)

func look(t *testing.T, e *Engine, name string) View {
	t.Helper()
	vs, err := e.Look(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return vs[0]
}

func TestLookChecksNowWhereNobodyKeepsTheDaemon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.mustApply(t, manifest("a", checked()))
		if c := find(look(t, b.e, "a").Conditions, spec.Ready); c.Status != spec.True {
			t.Errorf("Ready is %+v", c)
		}
		b.Probes(func(context.Context, string, spec.Health) error { return errors.New("HTTP 500") })
		time.Sleep(time.Minute)
		if c := find(look(t, b.e, "a").Conditions, spec.Ready); c.Status != spec.False || c.Message != "HTTP 500" {
			t.Errorf("Ready is %+v", c)
		}
	})
}

func TestLookTakesTheWordOfALiveRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		k := keep(t, b, RunOptions{}, manifest("a", checked()))
		before := b.Probed("a")
		v := look(t, b.e, "a")
		if c := find(v.Conditions, spec.Ready); c.Status != spec.True || v.Holder != "run-1" {
			t.Errorf("Ready is %+v, held by %q", c, v.Holder)
		}
		if n := b.Probed("a") - before; n != 0 {
			t.Errorf("%d checks although a run makes them", n)
		}
		k.stop()
		if v := look(t, b.e, "a"); v.Holder != "" {
			t.Errorf("a run that ended still holds it: %q", v.Holder)
		}
	})
}

func TestLookTakesTheWordOfALiveRunOnWhatHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		k := keep(t, b, RunOptions{}, manifest("a"))
		k.crash(t, "a")
		k.crash(t, "a")
		if c := find(look(t, b.e, "a").Conditions, spec.Reconciling); c.Status != spec.True || c.Reason != "Waiting" {
			t.Errorf("the run waits for the next restart, and Reconciling is %+v", c)
		}
		k.stop()
		if c := find(look(t, b.e, "a").Conditions, spec.Stalled); c.Status != spec.True {
			t.Errorf("nobody restarts it any more, and Stalled is %+v", c)
		}
	})
}

func TestLookListsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.mustApply(t, manifest("b"), manifest("a"))
		vs, err := b.e.Look(t.Context())
		if err != nil || len(vs) != 2 || vs[0].Observed.Name != "a" || vs[1].Observed.Name != "b" {
			t.Errorf("got %d views, %v", len(vs), err)
		}
	})
}

func TestWaitForSeesAnEndAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.mustApply(t, manifest("a"))
		done := make(chan error, 1)
		go func() {
			done <- b.e.WaitFor(t.Context(), []string{"a"}, func(v View) bool { return v.Observed.State == spec.Exited })
		}()
		synctest.Wait()
		began := time.Now()
		b.Fake().Crash("a", spec.Exit{Known: true, Code: 1})
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("it took %s of polling", took)
		}
	})
}

func TestWaitForEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := b.e.WaitFor(ctx, []string{"a"}, func(View) bool { return false }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestAHealthCheckThatWasCutOffProvesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.mustApply(t, manifest("a", checked()))
		b.Probes(func(ctx context.Context, _ string, _ spec.Health) error { <-ctx.Done(); return ctx.Err() })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if vs, err := b.e.Look(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %+v, %v", vs, err)
		}
	})
}

// TestFollowingIsNoLoad follows a daemon for a minute, which is checked as often as a run would: every interval once it is Ready.
func TestFollowingIsNoLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.mustApply(t, manifest("a", checked(func(h *spec.Health) { h.Interval = spec.Duration(10 * time.Second) })))
		before := b.Probed("a")
		ctx, cancel := context.WithTimeout(t.Context(), 59*time.Second)
		defer cancel()
		looks := 0
		err := b.e.Follow(ctx, []string{"a"}, func([]View) bool { looks++; return true })
		if !errors.Is(err, context.DeadlineExceeded) || looks < 60 {
			t.Errorf("%d looks, %v", looks, err)
		}
		if n := b.Probed("a") - before; n != 6 {
			t.Errorf("%d checks in a minute, want 6", n)
		}
	})
}

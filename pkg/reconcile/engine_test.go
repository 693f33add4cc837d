package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

func TestApplyCreatesThenLeavesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		got, err := b.apply(t, ApplyOptions{}, PruneOptions{}, manifest("a"), manifest("b"))
		if err != nil {
			t.Fatal(err)
		}
		alike(t, "first apply", got, "a created", "b created")
		before := b.state(t, "a").Instance.ID
		got, err = b.apply(t, ApplyOptions{Wait: true}, PruneOptions{}, manifest("a"), manifest("b"))
		if err != nil {
			t.Fatal(err)
		}
		alike(t, "second apply", got, "a unchanged", "b unchanged")
		if after := b.state(t, "a").Instance.ID; after != before {
			t.Error("an unchanged daemon was restarted")
		}
	})
}

func TestApplyHealsWhatDied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.mustApply(t, manifest("a"))
		b.Fake().Crash("a", spec.Exit{Known: true, Signal: "SIGKILL"})
		got, err := b.apply(t, ApplyOptions{}, PruneOptions{}, manifest("a"))
		if err != nil {
			t.Fatal(err)
		}
		alike(t, "apply after a crash", got, "a healed")
		if s := b.state(t, "a").State; s != spec.Running {
			t.Errorf("a is %s", s)
		}
	})
}

func TestDependentsWaitUntilReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		up := time.Now().Add(3 * time.Second)
		b.Probes(func(context.Context, string, spec.Health) error {
			if time.Now().Before(up) {
				return errors.New("connection refused")
			}
			return nil
		})
		web := manifest("web", needs("db"))
		if _, err := b.apply(t, ApplyOptions{}, PruneOptions{}, web, manifest("db", checked())); err != nil {
			t.Fatal(err)
		}
		if since := b.state(t, "web").Instance.StartedAt.Sub(up); since < 0 || since > 2*time.Second {
			t.Errorf("web was started %s after db became Ready", since)
		}
	})
}

func TestUnknownDependencyIsRefusedBeforeAnything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		_, err := b.apply(t, ApplyOptions{}, PruneOptions{}, manifest("a"), manifest("web", needs("nobody")))
		if !errors.Is(err, drivers.ErrPermanent) || !strings.Contains(err.Error(), `"nobody"`) {
			t.Errorf("got %v", err)
		}
		if s := b.state(t, "a").State; s != spec.Absent {
			t.Errorf("a is %s although the apply was refused", s)
		}
	})
}

func TestDependencyOnTheHostIsNeverTouched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.mustApply(t, manifest("db"))
		before := b.state(t, "db").Instance.ID
		b.mustApply(t, manifest("web", needs("db")))
		if after := b.state(t, "db"); after.State != spec.Running || after.Instance.ID != before {
			t.Errorf("the dependency was touched: %+v", after)
		}
	})
}

func TestWaitTimesOutAndSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.Probes(func(context.Context, string, spec.Health) error { return errors.New("connection refused") })
		got, err := b.apply(t, ApplyOptions{Wait: true, Timeout: 20 * time.Second, Rollback: true}, PruneOptions{}, manifest("web", checked()))
		if !errors.Is(err, ErrTimeout) || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("got %v", err)
		}
		alike(t, "items", got, "web failed")
		if s := b.state(t, "web").State; s != spec.Running {
			t.Errorf("a new daemon has nothing to go back to and is left as it is, but it is %s", s)
		}
	})
}

func TestRollbackPutsThePreviousRevisionBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		good, bad := manifest("web", checked(), args("good")), manifest("web", checked(), args("bad"))
		b.Probes(func(context.Context, string, spec.Health) error {
			if o := b.state(t, "web"); o.Stamp.Spec.Args[0] == "bad" {
				return errors.New("HTTP 500")
			}
			return nil
		})
		if _, err := b.apply(t, ApplyOptions{Wait: true}, PruneOptions{}, good); err != nil {
			t.Fatal(err)
		}
		got, err := b.apply(t, ApplyOptions{Wait: true, Timeout: 10 * time.Second, Rollback: true}, PruneOptions{}, bad)
		if err == nil || !strings.Contains(err.Error(), "HTTP 500") || !strings.Contains(err.Error(), "generation 1 was put back") {
			t.Errorf("got %v", err)
		}
		alike(t, "items", got, "web rolled back")
		o := b.state(t, "web")
		if o.Stamp.Spec.Args[0] != "good" || o.Stamp.Generation != 3 {
			t.Errorf("runs %v as generation %d", o.Stamp.Spec.Args, o.Stamp.Generation)
		}
		if got, err = b.apply(t, ApplyOptions{Wait: true, Timeout: 10 * time.Second}, PruneOptions{}, bad); err == nil {
			t.Errorf("without rollback: %v", got)
		}
		if o := b.state(t, "web"); o.Stamp.Spec.Args[0] != "bad" {
			t.Errorf("--rollback=false kept %v, not the wreck", o.Stamp.Spec.Args)
		}
	})
}

func TestRollbackOfAStartThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.mustApply(t, manifest("web", args("good")))
		b.Fake().Fail(spec.VerbStart, "web", fmt.Errorf("exec format error: %w", drivers.ErrPermanent))
		got, err := b.apply(t, ApplyOptions{Rollback: true}, PruneOptions{}, manifest("web", args("bad")))
		if err == nil || !strings.Contains(err.Error(), "exec format error") {
			t.Errorf("got %v", err)
		}
		alike(t, "items", got, "web rolled back")
		if o := b.state(t, "web"); o.State != spec.Running || o.Stamp.Spec.Args[0] != "good" {
			t.Errorf("left %s with %v", o.State, o.Stamp.Spec.Args)
		}
	})
}

func TestCrashLoopFailsAnApplySoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.Fake().Behave("web", driverstest.Behaviour{Start: func(p *driverstest.Proc) { p.After(50*time.Millisecond, func() { p.Exit(3) }) }})
		began := time.Now()
		_, err := b.apply(t, ApplyOptions{Wait: true, Timeout: time.Minute}, PruneOptions{}, manifest("web"))
		if err == nil || !strings.Contains(err.Error(), "status 3") {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

func TestAJobThatEndsWellIsSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.Fake().Behave("job", driverstest.Behaviour{Start: func(p *driverstest.Proc) { p.After(50*time.Millisecond, func() { p.Exit(0) }) }})
		got, err := b.apply(t, ApplyOptions{Wait: true}, PruneOptions{}, manifest("job", policyIs(spec.RestartOnFailure)))
		if err != nil {
			t.Fatal(err)
		}
		alike(t, "items", got, "job created")
	})
}

func TestPruneOnlyTheOwnSetAndLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.mustApply(t, manifest("a"), manifest("b"), manifest("c"))
		other := b.engine(func(o *Options) { o.Owner.Set = "other" })
		if _, err := applyWith(t, other, ApplyOptions{}, PruneOptions{}, manifest("x")); err != nil {
			t.Fatal(err)
		}
		got, err := b.apply(t, ApplyOptions{}, PruneOptions{Enabled: true}, manifest("a"), manifest("b"))
		if err != nil {
			t.Fatal(err)
		}
		alike(t, "items", got, "a unchanged", "b unchanged", "c pruned")
		if s := b.state(t, "x").State; s != spec.Running {
			t.Errorf("x of another set is %s", s)
		}
	})
}

func TestNothingIsPrunedWhileTheNewIsUnwell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.mustApply(t, manifest("a"), manifest("b"), manifest("c"))
		b.Probes(func(context.Context, string, spec.Health) error { return errors.New("refused") })
		got, err := b.apply(t, ApplyOptions{Timeout: 5 * time.Second}, PruneOptions{Enabled: true}, manifest("a"), manifest("b"), manifest("new", checked()))
		if !slices.Contains(got, "c skipped") {
			t.Errorf("of c it says: %q", got)
		}
		if err == nil || !strings.Contains(err.Error(), "nothing was pruned") {
			t.Errorf("got %v", err)
		}
		if s := b.state(t, "c").State; s != spec.Running {
			t.Errorf("c is %s", s)
		}
	})
}

func TestAnotherSetIsRefusedAndForced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.mustApply(t, manifest("a"))
		other := b.engine(func(o *Options) { o.Owner.Set = "other" })
		if _, err := applyWith(t, other, ApplyOptions{}, PruneOptions{}, manifest("a")); !errors.Is(err, drivers.ErrConflict) {
			t.Errorf("got %v", err)
		}
		before := b.state(t, "a").Instance.ID
		forced := b.engine(func(o *Options) { o.Owner.Set, o.Force = "other", true })
		got, err := applyWith(t, forced, ApplyOptions{}, PruneOptions{}, manifest("a"))
		if err != nil {
			t.Fatal(err)
		}
		alike(t, "forced", got, "a configured")
		if o := b.state(t, "a"); o.Stamp.Owner.Set != "other" || o.Instance.ID != before {
			t.Errorf("set %s, instance %s", o.Stamp.Owner.Set, o.Instance.ID)
		}
	})
}

// TestWhatIsNotDoneIsNotSaidToBe: an apply in which one daemon is refused touches none, and says so of each.
func TestWhatIsNotDoneIsNotSaidToBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.mustApply(t, manifest("a"), manifest("old"))
		other := b.engine(func(o *Options) { o.Owner.Set = "other" })
		got, err := applyWith(t, other, ApplyOptions{}, PruneOptions{}, manifest("a"), manifest("b"))
		if !errors.Is(err, drivers.ErrConflict) {
			t.Errorf("got %v", err)
		}
		alike(t, "one refused", got, "a refused", "b skipped")
		if s := b.state(t, "b").State; s != spec.Absent {
			t.Errorf("b is %s", s)
		}
	})
}

func TestUnreachableFreezes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.mustApply(t, manifest("a"))
		b.Fake().Unknown("a", "no answer")
		_, err := b.apply(t, ApplyOptions{}, PruneOptions{Enabled: true, Guard: -1}, manifest("b"))
		if err != nil {
			t.Errorf("got %v", err)
		}
		b.Fake().Unknown("a", "")
		if s := b.state(t, "a").State; s != spec.Running {
			t.Errorf("what was unknown was pruned: a is %s", s)
		}
	})
}

func TestStopIsRememberedUntilStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.mustApply(t, manifest("a"))
		if _, err := b.e.Stop(t.Context(), []string{"a"}, "alice"); err != nil {
			t.Fatal(err)
		}
		got, err := b.apply(t, ApplyOptions{Wait: true}, PruneOptions{}, manifest("a"))
		if err != nil {
			t.Fatal(err)
		}
		alike(t, "apply of a stopped daemon", got, "a paused")
		if s := b.state(t, "a").State; s != spec.Exited {
			t.Errorf("a is %s after stop", s)
		}
		items, err := b.e.Start(t.Context(), []string{"a"}, ApplyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		alike(t, "start", words(items), "a started")
		if s := b.state(t, "a").State; s != spec.Running {
			t.Errorf("a is %s after start", s)
		}
	})
}

func TestRestartReplacesTheInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.mustApply(t, manifest("a"))
		before := b.state(t, "a").Instance.ID
		items, err := b.e.Restart(t.Context(), []string{"a"}, ApplyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		alike(t, "restart", words(items), "a restarted")
		if after := b.state(t, "a"); after.Instance.ID == before || after.State != spec.Running {
			t.Errorf("instance %s before and %s after", before, after.Instance.ID)
		}
	})
}

func TestDeleteGoesFromDependentsToDependencies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.mustApply(t, manifest("db"), manifest("web", needs("db")))
		items, err := b.e.Delete(t.Context(), []string{"db", "web", "nobody"}, DeleteOptions{})
		if !errors.Is(err, drivers.ErrNotFound) {
			t.Errorf("got %v, want nobody not found", err)
		}
		alike(t, "items", words(items), "db deleted", "web deleted", "nobody failed")
		var order []string
		for _, s := range b.said() {
			if strings.HasSuffix(s, " remove") {
				order = append(order, s)
			}
		}
		alike(t, "order", order, "web remove", "db remove")
	})
}

func TestUndoGoesBackOneRevision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.mustApply(t, manifest("a", args("1")))
		b.mustApply(t, manifest("a", args("2")))
		it, err := b.e.Undo(t.Context(), "a", 0, ApplyOptions{Wait: true})
		if err != nil {
			t.Fatal(err)
		}
		if o := b.state(t, "a"); it.Action != Configured || o.Stamp.Spec.Args[0] != "1" || o.Stamp.Generation != 3 {
			t.Errorf("%s: runs %v as generation %d", it.Action, o.Stamp.Spec.Args, o.Stamp.Generation)
		}
		if _, err := b.e.Undo(t.Context(), "a", 9, ApplyOptions{}); !errors.Is(err, drivers.ErrNotFound) {
			t.Errorf("undo to a revision that never was: %v", err)
		}

		if _, err := b.e.Delete(t.Context(), []string{"a"}, DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		anySet := b.engine(func(o *Options) { o.Owner = spec.Owner{} })
		if it, err = anySet.Undo(t.Context(), "a", 1, ApplyOptions{}); err != nil || it.Action != Created {
			t.Errorf("undo of a deletion: %s, %v", it.Action, err)
		}
		if set := b.state(t, "a").Stamp.Owner.Set; set != "default" {
			t.Errorf("it came back to set %q", set)
		}
	})
}

package reconcile

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"reconciler.dev/reconciler/pkg/spec"
)

func TestAPausedRolloutKeepsWhatIsApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.mustApply(t, manifest("web", args("one")))
		items, err := b.e.Hold(t.Context(), []string{"web"}, "ann")
		if err != nil {
			t.Fatal(err)
		}
		alike(t, "pause", words(items), "web rollout paused")

		r, err := b.e.Review(t.Context(), []*spec.Daemon{manifest("web", args("two"))}, PruneOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if it := r.Items[0]; len(it.Steps) != 0 || len(it.Changes) != 1 || !strings.Contains(it.Reason, "its rollout is paused by ann") {
			t.Errorf("it is planned to do %+v: changes %+v, %s", it.Steps, it.Changes, it.Reason)
		}
		got, err := b.apply(t, ApplyOptions{Wait: true}, PruneOptions{}, manifest("web", args("two")))
		if err != nil {
			t.Fatal(err)
		}
		alike(t, "apply", got, "web rollout paused")
		if got := running(t, b); got != "Running one" {
			t.Errorf("%s runs", got)
		}

		b.Fake().Crash("web", spec.Exit{Known: true, Code: 1})
		if _, err := b.apply(t, ApplyOptions{}, PruneOptions{}, manifest("web", args("two"))); err != nil {
			t.Fatal(err)
		}
		if got := running(t, b); got != "Running one" {
			t.Errorf("after a crash and an apply %q runs", got)
		}

		items, err = b.e.Release(t.Context(), []string{"web"})
		if err != nil {
			t.Fatal(err)
		}
		alike(t, "resume", words(items), "web rollout resumed")
		b.mustApply(t, manifest("web", args("two")))
		if got := running(t, b); got != "Running two" {
			t.Errorf("%s runs", got)
		}
	})
}

func TestARunHoldsAPausedRolloutBackUntilItIsResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		k := keep(t, b, RunOptions{Resync: time.Minute}, manifest("web", args("one")))
		if _, err := b.e.Hold(t.Context(), []string{"web"}, ""); err != nil {
			t.Fatal(err)
		}
		k.src.set(nil, manifest("web", args("two")))
		k.after(10 * time.Minute)
		if got := running(t, b); got != "Running one" {
			t.Errorf("%s runs", got)
		}
		if c := condition(t, b, "web", spec.Reconciling); c.Reason != "RolloutPaused" {
			t.Errorf("Reconciling is %+v", c)
		}
		if c := condition(t, b, "web", spec.Ready); c.Status != spec.True {
			t.Errorf("Ready is %+v", c)
		}
		if _, err := b.e.Release(t.Context(), []string{"web"}); err != nil {
			t.Fatal(err)
		}
		k.after(2 * time.Minute)
		if got := running(t, b); got != "Running two" {
			t.Errorf("after the resume %s runs", got)
		}
	})
}

func TestAHoldGoesWithWhatIsRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.mustApply(t, manifest("web"))
		if _, err := b.e.Hold(t.Context(), []string{"web"}, ""); err != nil {
			t.Fatal(err)
		}
		if _, err := b.e.Delete(t.Context(), []string{"web"}, DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		if o := b.state(t, "web"); o.Held != nil {
			t.Errorf("left is %+v", o)
		}
		if _, err := b.e.Hold(t.Context(), []string{"web"}, ""); err == nil {
			t.Error("nothing was held, and no error says so")
		}
	})
}

// TestARunBegunWithABrokenProgramKeepsWhatIsApplied, as after a reboot; and of what was never applied it says why it can't be.
func TestARunBegunWithABrokenProgramKeepsWhatIsApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.mustApply(t, manifest("web", args("one")))
		broken := func(d *spec.Daemon) *spec.Daemon {
			d.Program = &spec.Program{Failed: errors.New("it doesn't compile")}
			return d
		}
		k := keep(t, b, RunOptions{Resync: time.Minute}, broken(manifest("web", args("two"))), broken(manifest("new")), manifest("db"))
		b.Fake().Crash("web", spec.Exit{Known: true, Code: 1})
		k.after(time.Minute)
		if got := running(t, b); got != "Running one" {
			t.Errorf("%s runs", got)
		}
		if c := condition(t, b, "web", spec.Reconciling); c.Reason != "ProgramFailed" || !strings.Contains(c.Message, "it doesn't compile") {
			t.Errorf("Reconciling is %+v", c)
		}
		if o := b.state(t, "new"); o.State != spec.Absent {
			t.Errorf("what can't be made is %+v", o)
		}
		if o := b.state(t, "db"); o.State != spec.Running {
			t.Errorf("what has nothing to do with it is %+v", o)
		}
		k.src.set(nil, manifest("web", args("two")), manifest("new"), manifest("db"))
		k.after(time.Minute)
		if got := running(t, b); got != "Running two" {
			t.Errorf("once it can be made %s runs", got)
		}
	})
}

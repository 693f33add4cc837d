package reconcile

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

func TestRunStartsAndRestartsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, newBench(), RunOptions{}, manifest("a"), manifest("b"))
		before := k.state(t, "a").Instance.ID
		k.crash(t, "a")
		o := k.state(t, "a")
		if o.State != spec.Running || o.Instance.ID == before || o.Instance.Restarts != 1 || o.Instance.Attempts != 1 {
			t.Errorf("after the first crash: %s %+v", o.State, o.Instance)
		}
		if last := o.Instance.Last; last == nil || last.Signal != "SIGKILL" {
			t.Errorf("how it ended is lost: %+v", last)
		}
	})
}

func TestRunBacksOffAndForgetsAfterAStableSpell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, newBench(), RunOptions{}, manifest("a"))
		k.crash(t, "a")
		k.crash(t, "a")
		if s := k.state(t, "a").State; s != spec.Exited {
			t.Fatalf("the second restart in a row didn't wait: %s", s)
		}
		if c := condition(t, k.bench, "a", spec.Ready); c.Reason != "CrashLoop" {
			t.Errorf("Ready is %+v", c)
		}
		k.after(2 * time.Second)
		o := k.state(t, "a")
		if o.State != spec.Running || o.Instance.Attempts != 2 {
			t.Fatalf("after the wait: %s %+v", o.State, o.Instance)
		}
		k.after(2 * time.Minute)
		k.crash(t, "a")
		if o := k.state(t, "a"); o.State != spec.Running || o.Instance.Attempts != 1 {
			t.Errorf("a stable spell wasn't forgiven: %s %+v", o.State, o.Instance)
		}
	})
}

func TestRunAdoptsWithoutTouching(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		k := keep(t, b, RunOptions{}, manifest("a"))
		before := k.state(t, "a")
		if err := k.stop(); !errors.Is(err, context.Canceled) {
			t.Errorf("run ended with %v", err)
		}
		if s := b.state(t, "a").State; s != spec.Running {
			t.Fatalf("the end of run left a %s", s)
		}
		writes := len(b.said())
		k = keep(t, b, RunOptions{}, manifest("a"))
		after := k.state(t, "a")
		if after.Instance.ID != before.Instance.ID || after.Stamp.AppliedAt != before.Stamp.AppliedAt {
			t.Errorf("adoption touched it: %+v then %+v", before.Instance, after.Instance)
		}
		for _, s := range b.said()[writes:] {
			if strings.HasPrefix(s, "a st") {
				t.Errorf("adoption did %q", s)
			}
		}
	})
}

func TestRunFollowsTheManifests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, newBench(), RunOptions{}, manifest("a", args("1")), manifest("b"))
		b := k.state(t, "b").Instance.ID
		k.src.set(nil, manifest("a", args("2")), manifest("b"), manifest("c"))
		synctest.Wait()
		if o := k.state(t, "a"); o.Stamp.Spec.Args[0] != "2" || o.State != spec.Running {
			t.Errorf("a runs %v", o.Stamp.Spec.Args)
		}
		if s := k.state(t, "c").State; s != spec.Running {
			t.Errorf("c is %s", s)
		}
		k.src.set(errors.New("a.yaml:3:1: no"))
		k.after(time.Second)
		k.src.set(nil, manifest("a", args("2")))
		k.after(time.Second)
		if o := k.state(t, "b"); o.State != spec.Running || o.Instance.ID != b {
			t.Errorf("without --prune b is let be, but it is %s", o.State)
		}
	})
}

func TestRunPrunesAfterTheNewIsReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		well := make(chan struct{})
		b.Probes(func(context.Context, string, spec.Health) error {
			select {
			case <-well:
				return nil
			default:
				return errors.New("refused")
			}
		})
		k := keep(t, b, RunOptions{Prune: PruneOptions{Enabled: true}}, manifest("a"), manifest("b"), manifest("c"))
		k.src.set(nil, manifest("a"), manifest("b"), manifest("new", checked()))
		k.after(5 * time.Second)
		if s := k.state(t, "c").State; s != spec.Running {
			t.Fatalf("c was pruned before new was Ready: %s", s)
		}
		close(well)
		k.after(10 * time.Second)
		if s := k.state(t, "c").State; s != spec.Absent {
			t.Errorf("c is %s after new was Ready", s)
		}
		if ss, err := b.Statuses(t.Context(), "c"); err != nil || len(ss) != 0 {
			t.Errorf("the conditions of what is gone are kept: %v, %v", ss, err)
		}
		k.src.set(nil, manifest("a"))
		k.after(10 * time.Second)
		if s := k.state(t, "b").State; s != spec.Running {
			t.Errorf("the guard let two of three go: b is %s", s)
		}
	})
}

func TestRunHoldsItsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		k := keep(t, b, RunOptions{}, manifest("a", args("1")))
		_, err := b.apply(t, ApplyOptions{}, PruneOptions{}, manifest("a", args("2")))
		if !errors.Is(err, drivers.ErrConflict) || !strings.Contains(err.Error(), "reconciler run -f d") || !strings.Contains(err.Error(), "pid 7") {
			t.Errorf("apply of a kept daemon: %v", err)
		}
		second := b.engine(func(o *Options) { o.Owner.Holder = "run-2" })
		err = second.Run(t.Context(), k.src, RunOptions{Holder: drivers.Holder{ID: "run-2", Set: "default"}})
		if !errors.Is(err, drivers.ErrConflict) {
			t.Errorf("a second run: %v", err)
		}
		forced := b.engine(func(o *Options) { o.Force = true })
		if _, err := applyWith(t, forced, ApplyOptions{}, PruneOptions{}, manifest("a", args("2"))); err != nil {
			t.Fatal(err)
		}
		k.after(time.Hour)
		if o := k.state(t, "a"); o.Stamp.Spec.Args[0] != "2" {
			t.Errorf("the run fought back: a runs %v", o.Stamp.Spec.Args)
		}
		if c := condition(t, b, "a", spec.Stalled); c.Status != spec.True {
			t.Errorf("the run doesn't say that it let go: %+v", c)
		}
		if n := count(k.said(), "a refused"); n != 1 {
			t.Errorf("the run says %d times that it let go:\n%v", n, k.said())
		}
		if n := count(k.said(), "a start"); n != 2 {
			t.Errorf("a was started %d times: once by the run, and once by who took it over", n)
		}
	})
}

func TestAdoptionKeepsWhatWasFoundReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		k := keep(t, b, RunOptions{}, manifest("a", checked()))
		before := condition(t, b, "a", spec.Ready)
		k.stop()
		time.Sleep(time.Minute)
		keep(t, b, RunOptions{}, manifest("a", checked()))
		if after := condition(t, b, "a", spec.Ready); after.Status != spec.True || !after.LastTransitionTime.Equal(before.LastTransitionTime) {
			t.Errorf("Ready was %+v and is %+v", before, after)
		}
	})
}

func TestRunLeavesAUsersStopAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, newBench(), RunOptions{}, manifest("a"))
		if _, err := k.e.Stop(t.Context(), []string{"a"}, "alice"); err != nil {
			t.Fatal(err)
		}
		k.after(time.Hour)
		if s := k.state(t, "a").State; s != spec.Exited {
			t.Fatalf("the run started what a user stopped: %s", s)
		}
		if _, err := k.e.Start(t.Context(), []string{"a"}, ApplyOptions{}); err != nil {
			t.Fatal(err)
		}
		k.after(time.Second)
		if o := k.state(t, "a"); o.State != spec.Running {
			t.Errorf("after start it is %s", o.State)
		}
	})
}

func TestRunRestartsTheUnhealthyWhereAsked(t *testing.T) {
	for _, action := range []spec.FailureAction{spec.OnFailureReport, spec.OnFailureRestart} {
		t.Run(string(action), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench()
				var sick sync.Map
				b.Probes(func(_ context.Context, name string, _ spec.Health) error {
					if _, ok := sick.Load(name); ok {
						return errors.New("HTTP 503")
					}
					return nil
				})
				k := keep(t, b, RunOptions{}, manifest("a", checked(func(h *spec.Health) { h.OnFailure = action })))
				before := k.state(t, "a").Instance.ID
				sick.Store("a", true)
				k.after(5 * time.Second)
				if restarted := k.state(t, "a").Instance.ID != before; restarted != (action == spec.OnFailureRestart) {
					t.Errorf("restarted: %v", restarted)
				}
				sick.Clear()
				k.after(2 * time.Minute)
				if c := condition(t, b, "a", spec.Ready); c.Status != spec.True {
					t.Errorf("Ready is %+v after it was well again", c)
				}
			})
		})
	}
}

func TestRunTriesAgainWhatMayHelpAndNotWhatCant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.Fake().Fail(spec.VerbStart, "a", errors.New("fork: out of memory"))
		b.Fake().FailAlways(spec.VerbStart, "b", fmt.Errorf("no such file: %w", drivers.ErrPermanent))
		k := keep(t, b, RunOptions{}, manifest("a"), manifest("b"))
		if s := k.state(t, "a").State; s != spec.Running {
			t.Errorf("a is %s", s)
		}
		c := condition(t, b, "b", spec.Stalled)
		if c.Status != spec.True || !strings.Contains(c.Message, "no such file") {
			t.Errorf("b's Stalled is %+v", c)
		}
	})
}

func TestRunSurvivesLostEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.Fake().BreakWatches(errors.New("inotify: no space left on device"))
		k := keep(t, b, RunOptions{Resync: time.Minute}, manifest("a"))
		k.crash(t, "a")
		k.after(2 * time.Minute)
		if s := k.state(t, "a").State; s != spec.Running {
			t.Errorf("a is %s after a resync", s)
		}
	})
}

func TestRunIdlesWithoutLooking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, newBench(), RunOptions{Resync: time.Hour}, manifest("a"), manifest("b"))
		k.after(time.Minute)
		before := k.Fake().Observes()
		k.after(50 * time.Minute)
		if n := k.Fake().Observes() - before; n != 0 {
			t.Errorf("%d looks while nothing happened", n)
		}
	})
}

func TestRunRepairsDrift(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keep(t, newBench(), RunOptions{}, manifest("a"))
		k.Fake().Drift("a", spec.Drift{Field: "spec.files[0]", Want: "x", Have: "y", Class: spec.Reloaded})
		k.after(time.Second)
		found := false
		for _, s := range k.said() {
			found = found || s == "a healed"
		}
		if !found {
			t.Errorf("drift wasn't repaired: %q", k.said())
		}
	})
}

// tidied counts the housekeeping of a driver that has work for the first few times.
type tidied struct {
	*driverstest.Fake
	mu   sync.Mutex
	at   []time.Time
	work int
}

func (d *tidied) Housekeep(context.Context) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = append(d.at, time.Now())
	return len(d.at) <= d.work, nil
}

func TestRunKeepsHouseMoreOftenWhereThereIsWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &tidied{Fake: driverstest.NewFake(), work: 2}
		b := &bench{Host: driverstest.NewHost(d)}
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 12*time.Minute)
		defer cancel()
		_ = b.engine().Run(ctx, &manifests{wants: []*spec.Daemon{manifest("a")}}, RunOptions{})
		var got []string
		for _, at := range d.at {
			got = append(got, at.Sub(began).String())
		}
		alike(t, "housekeeping", got, "10m0s", "10m10s", "10m20s", "10m40s", "11m20s")
	})
}

// far is a machine behind a link, and an engine over a new link to it.
func far(t *testing.T, f *driverstest.Far, holder string) *Engine {
	t.Helper()
	h, err := f.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return New(h, Options{Owner: spec.Owner{Set: "default", Holder: holder}, Tool: "test"})
}

// TestRunEndsWithItsLink: a run over a link that is lost ends, in whatever it was doing; one over a new link finds what happened meanwhile, and starts nothing twice.
func TestRunEndsWithItsLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		f := driverstest.NewFar("gpu-1", b.Host)
		src := &manifests{wants: []*spec.Daemon{manifest("a"), manifest("b")}}
		o := RunOptions{Holder: drivers.Holder{ID: "run-1"}}
		ended := make(chan error, 1)
		run := func() {
			e := far(t, f, "run-1")
			go func() { ended <- e.Run(t.Context(), src, o) }()
			time.Sleep(2 * UpFor)
			synctest.Wait()
		}
		run()
		before := b.state(t, "a").Instance.ID
		f.Cut("no route to host")
		synctest.Wait()
		if err := <-ended; !errors.Is(err, drivers.ErrUnreachable) || !strings.Contains(err.Error(), "gpu-1") {
			t.Errorf("the run over a link that was lost: %v", err)
		}
		b.Fake().Crash("b", spec.Exit{Known: true, Code: 1})
		f.Mend()
		run()
		if err := <-ended; !errors.Is(err, drivers.ErrConflict) {
			t.Errorf("the machine hasn't noticed, and the set is free: %v", err)
		}
		f.Notice()
		run()
		if a, b := b.state(t, "a"), b.state(t, "b"); a.Instance.ID != before || b.State != spec.Running {
			t.Errorf("after the link came back: a is another instance than %s: %+v; b is %+v", before, a, b)
		}
	})
}

// TestRunAsksBeforeItPrunes: what may go is for somebody else to say who knows other hosts too, and may be said later.
func TestRunAsksBeforeItPrunes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.mustApply(t, manifest("a"), manifest("b"))
		var asked []Share
		ok, objection := false, error(nil)
		k := keep(t, b, RunOptions{Prune: PruneOptions{Enabled: true}, Permit: func(s Share) (bool, error) {
			asked = append(asked, s)
			return ok, objection
		}})
		if len(asked) != 1 || strings.Join(asked[0].Going, " ") != "b a" || asked[0].Has != 2 || b.state(t, "a").State != spec.Running {
			t.Errorf("asked %+v, and a is %+v", asked, b.state(t, "a"))
		}
		objection = ErrGuard
		k.src.set(nil)
		k.after(time.Second)
		if said := strings.Join(b.said(), "\n"); strings.Count(said, "not pruned") != 1 {
			t.Errorf("it says %s", said)
		}
		ok, objection = true, nil
		k.src.set(nil)
		k.after(time.Second)
		if a := b.state(t, "a"); a.State != spec.Absent {
			t.Errorf("permitted, and a is %+v", a)
		}
	})
}

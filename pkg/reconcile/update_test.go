package reconcile

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

// updated has a daemon's changes prove themselves.
func updated(edits ...func(*spec.Update)) func(*spec.Daemon) {
	return func(d *spec.Daemon) {
		d.Spec.Update = &spec.Update{ReadyTimeout: spec.Duration(20 * time.Second)}
		for _, edit := range edits {
			edit(d.Spec.Update)
		}
	}
}

func onFailure(f spec.UpdateFailure) func(*spec.Update) {
	return func(u *spec.Update) { u.OnFailure = f }
}

func readyFor(d time.Duration) func(*spec.Update) {
	return func(u *spec.Update) { u.ReadyFor = spec.Duration(d) }
}

// sickWith has daemons whose last argument is word fail their checks.
func (b *bench) sickWith(t *testing.T, word string) {
	b.Probes(func(context.Context, string, spec.Health) error {
		if as := b.state(t, "web").Stamp.Spec.Args; slices.Contains(as, word) {
			return errors.New("HTTP 500")
		}
		return nil
	})
}

// crashesWith has daemons with that argument end as soon as they are started.
func (b *bench) crashesWith(word string) {
	b.Fake().Behave("web", driverstest.Behaviour{Start: func(p *driverstest.Proc) {
		if slices.Contains(p.Want.Spec.Args, word) {
			p.Append("can't go on\n")
			p.Exit(3)
		}
	}})
}

func running(t *testing.T, b *bench) string {
	t.Helper()
	o := b.state(t, "web")
	return string(o.State) + " " + strings.Join(o.Stamp.Spec.Args, " ")
}

func TestAnApplyWithAnUpdateWaitsForReadyByItself(t *testing.T) {
	tests := []struct {
		name    string
		update  []func(*spec.Update)
		bad     func(*testing.T, *bench)
		word    string
		left    string
		message []string
	}{
		{"a good one", nil, func(*testing.T, *bench) {}, "web configured", "Running new", nil},
		{"never healthy", nil, func(t *testing.T, b *bench) { b.sickWith(t, "new") }, "web rolled back", "Running old",
			[]string{"not Ready within 20s", "HTTP 500", "generation 1 was put back and is Ready"}},
		{"crashes at once", nil, func(_ *testing.T, b *bench) { b.crashesWith("new") }, "web rolled back", "Running old",
			[]string{"it doesn't stay up: it exited with status 3", "| can't go on", "generation 1 was put back"}},
		{"stopped", []func(*spec.Update){onFailure(spec.UpdateStop)}, func(t *testing.T, b *bench) { b.sickWith(t, "new") }, "web failed", "Exited new",
			[]string{"HTTP 500", "it was stopped"}},
		{"left as it is", []func(*spec.Update){onFailure(spec.UpdateContinue)}, func(t *testing.T, b *bench) { b.sickWith(t, "new") }, "web failed", "Running new",
			[]string{"HTTP 500"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench()
				b.mustApply(t, manifest("web", checked(), updated(tt.update...), args("old")))
				tt.bad(t, b)
				got, err := b.apply(t, ApplyOptions{}, PruneOptions{}, manifest("web", checked(), updated(tt.update...), args("new")))
				alike(t, "apply", got, tt.word)
				if r := running(t, b); r != tt.left {
					t.Errorf("left is %s, want %s", r, tt.left)
				}
				says(t, err, tt.message...)
			})
		})
	}
}

// says fails where err doesn't contain all of words; none of them: where there is an error.
func says(t *testing.T, err error, words ...string) {
	t.Helper()
	if len(words) == 0 && err != nil {
		t.Errorf("got error %v", err)
	}
	for _, w := range words {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("the error doesn't say %q: %v", w, err)
		}
	}
}

func TestAChangeThatIsReadyAndThenUnwellIsPutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		want := func(arg string) *spec.Daemon {
			return manifest("web", checked(), updated(readyFor(90*time.Second)), args(arg))
		}
		b.mustApply(t, want("old"))
		began := time.Now()
		b.Probes(func(context.Context, string, spec.Health) error {
			if time.Since(began) > time.Minute && slices.Contains(b.state(t, "web").Stamp.Spec.Args, "new") {
				return errors.New("HTTP 503")
			}
			return nil
		})
		got, err := b.apply(t, ApplyOptions{}, PruneOptions{}, want("new"))
		alike(t, "apply", got, "web rolled back")
		says(t, err, "it was Ready for 1m", "HTTP 503")
		if r := running(t, b); r != "Running old" {
			t.Errorf("left is %s", r)
		}
	})
}

func TestARunPutsAChangeBackThatFailsAndDoesNotTryItAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.sickWith(t, "bad")
		good, bad, better := manifest("web", checked(), updated(), args("good")), manifest("web", checked(), updated(), args("bad")), manifest("web", checked(), updated(), args("better"))
		k := keep(t, b, RunOptions{Resync: time.Minute}, good)
		k.src.set(nil, bad)
		k.after(5 * time.Second)
		if r := running(t, b); r != "Running bad" {
			t.Fatalf("at first there is %s", r)
		}
		k.after(time.Minute)
		if r := running(t, b); r != "Running good" {
			t.Fatalf("a change that isn't Ready in time left %s; %q", r, b.said())
		}
		if c := condition(t, b, "web", spec.Stalled); c.Status != spec.True || c.Reason != "UpdateFailed" || !strings.Contains(c.Message, "HTTP 500") {
			t.Errorf("Stalled is %+v", c)
		}
		if c := condition(t, b, "web", spec.Ready); c.Status != spec.True {
			t.Errorf("Ready is %+v", c)
		}
		starts := b.Fake().Count(spec.VerbStart, "web")
		k.after(time.Hour)
		if err := k.stop(); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		k = keep(t, b, RunOptions{Resync: time.Minute}, bad)
		k.after(time.Hour)
		if n := b.Fake().Count(spec.VerbStart, "web"); n != starts {
			t.Errorf("it was tried again: %d starts, %d before", n, starts)
		}

		k.crash(t, "web")
		k.after(5 * time.Second)
		if r := running(t, b); r != "Running good" {
			t.Errorf("what was put back isn't kept: %s", r)
		}
		k.src.set(nil, better)
		k.after(time.Minute)
		if r := running(t, b); r != "Running better" {
			t.Errorf("another manifest isn't applied: %s", r)
		}
		if c := condition(t, b, "web", spec.Stalled); c.Status == spec.True {
			t.Errorf("Stalled is %+v", c)
		}
	})
}

func TestARunKilledWhileAChangeProvesItselfPutsItBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.sickWith(t, "bad")
		k := keep(t, b, RunOptions{}, manifest("web", checked(), updated(), args("good")))
		k.src.set(nil, manifest("web", checked(), updated(), args("bad")))
		k.after(5 * time.Second)
		_ = k.stop() // as a crash would: what it was about to do is only in the history and on the daemon
		k = keep(t, b, RunOptions{}, manifest("web", checked(), updated(), args("bad")))
		k.after(time.Minute)
		if r := running(t, b); r != "Running good" {
			t.Errorf("left is %s; %q", r, b.said())
		}
	})
}

func TestARunStopsAChangeThatFailsWhereThatIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.crashesWith("bad")
		stop := updated(onFailure(spec.UpdateStop))
		k := keep(t, b, RunOptions{Resync: time.Minute}, manifest("web", stop, args("good")))
		k.src.set(nil, manifest("web", stop, args("bad")))
		k.after(time.Hour)
		if r := running(t, b); r != "Exited bad" {
			t.Errorf("left is %s", r)
		}
		starts := b.Fake().Count(spec.VerbStart, "web")
		k.after(time.Hour)
		if n := b.Fake().Count(spec.VerbStart, "web"); n != starts {
			t.Errorf("it is started again and again: %d, %d before", n, starts)
		}
		if n := b.Fake().Count(spec.VerbStop, "web"); n != 2 {
			t.Errorf("it was stopped %d times, want 2: for the change, and, though it had ended, so that nothing else starts it", n)
		}
		k.src.set(nil, manifest("web", stop, args("good")))
		k.after(time.Minute)
		if r := running(t, b); r != "Running good" {
			t.Errorf("left is %s", r)
		}
	})
}

// TestARunPutsBackWhatTurnsUnhealthy soon after its update, though that counted as done, and nothing that turned so later or has nothing before it.
func TestARunPutsBackWhatTurnsUnhealthy(t *testing.T) {
	for name, c := range map[string]struct {
		update func(*spec.Daemon)
		after  time.Duration
		want   string
	}{
		"after a minute":           {updated(), time.Minute, "Running good"},
		"after an hour":            {updated(), time.Hour, "Running bad"},
		"where it shall go on":     {updated(onFailure(spec.UpdateContinue)), time.Minute, "Running bad"},
		"where the time was given": {updated(readyFor(time.Second)), time.Minute, "Running bad"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench()
				k := keep(t, b, RunOptions{}, manifest("web", checked(), c.update, args("good")))
				k.src.set(nil, manifest("web", checked(), c.update, args("bad")))
				k.after(5 * time.Second)
				k.crash(t, "web") // which is no reason to go back
				k.after(c.after)
				if r := running(t, b); r != "Running bad" {
					t.Fatalf("while it is healthy %s", r)
				}
				b.sickWith(t, "bad")
				k.after(5 * time.Minute)
				if r := running(t, b); r != c.want {
					t.Errorf("left is %s; %q", r, b.said())
				}
				if err := k.stop(); !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
				k = keep(t, b, RunOptions{}, manifest("web", checked(), c.update, args("bad")))
				k.after(time.Hour)
				if r := running(t, b); r != c.want {
					t.Errorf("the next run leaves %s", r)
				}
			})
		})
	}
}

func TestWhatWasLivedWithIsNotPutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.mustApply(t, manifest("web", checked(), args("old")))
		b.mustApply(t, manifest("web", checked(), args("new")))
		b.mustApply(t, manifest("web", checked(), args("new"), updated()))
		time.Sleep(time.Hour)
		b.sickWith(t, "new")
		k := keep(t, b, RunOptions{Resync: time.Minute}, manifest("web", checked(), args("new"), updated()))
		k.after(time.Hour)
		if r := running(t, b); r != "Running new" {
			t.Errorf("left is %s; %q", r, b.said())
		}
	})
}

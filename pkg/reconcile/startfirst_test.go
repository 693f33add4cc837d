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

	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

// sideBySide is a bench whose driver runs two copies of a daemon where it is asked to.
type sideBySide struct {
	*bench
	fake *driverstest.Fake
}

func newSideBySide(t *testing.T) *sideBySide {
	t.Helper()
	dirs := layout.Under(t.TempDir())
	if err := dirs.Make(); err != nil {
		t.Fatal(err)
	}
	f := driverstest.NewFake()
	b := &sideBySide{bench: &bench{Host: driverstest.NewHost(drivers.WithSlots(f, dirs))}, fake: f}
	b.e = b.engine()
	return b
}

// web is a daemon that is started beside the one before it.
func web(word string, edits ...func(*spec.Daemon)) *spec.Daemon {
	return manifest("web", append([]func(*spec.Daemon){checked(), updated(func(u *spec.Update) { u.Strategy = spec.UpdateStartFirst }), args(word, "$(SLOT)")}, edits...)...)
}

func (b *sideBySide) look(t *testing.T) spec.Observed {
	t.Helper()
	found, err := b.Drivers()[0].Observe(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	return found[0]
}

// copies lists what runs in each slot: the arguments as the program got them.
func (b *sideBySide) copies(t *testing.T) string {
	t.Helper()
	found, err := b.fake.Observe(t.Context(), "web", "web_1")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, o := range found {
		if o.State == spec.Running {
			all = append(all, strings.Join(o.Stamp.Spec.Args, ":"))
		}
	}
	return strings.Join(all, " ")
}

// sick has the newest copy's checks fail where it was started with one of these words.
func (b *sideBySide) sick(t *testing.T, words ...string) {
	b.Probes(func(context.Context, string, spec.Health) error {
		if slices.Contains(words, b.look(t).Stamp.Spec.Args[0]) {
			return errors.New("HTTP 500")
		}
		return nil
	})
}

// never fails where no copy of web runs at any time, once one has.
func (b *sideBySide) neverDown(t *testing.T) (ended func()) {
	b.fake.After(func(step spec.Step, err error) {
		if n := b.fake.Alive("web") + b.fake.Alive("web_1"); n == 0 {
			t.Errorf("nothing runs after %s %s", step.Verb, step.Name)
		}
	})
	return func() { b.fake.After(nil) }
}

func TestStartFirstHasTheNewOneReadyBeforeTheOldOneGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newSideBySide(t)
		b.mustApply(t, web("one"))
		defer b.neverDown(t)()
		first := b.look(t).Instance.ID
		for i, word := range []string{"two", "three"} {
			got, err := b.apply(t, ApplyOptions{}, PruneOptions{}, web(word))
			if err != nil {
				t.Fatal(err)
			}
			alike(t, "apply", got, "web configured")
			o := b.look(t)
			if o.Outgoing != nil || o.Instance.ID == first || o.Stamp.Generation != int64(i+2) || o.Stamp.Spec.Args[1] != "$(SLOT)" || o.Stamp.Name != "web" {
				t.Errorf("after it there is %+v, instance %+v, stamp %+v", o, o.Instance, o.Stamp)
			}
			if got, want := b.copies(t), fmt.Sprintf("%s:%d", word, 1-i); got != want {
				t.Errorf("%s runs, want %s", got, want)
			}
		}
	})
}

func TestStartFirstLeavesTheOldOneWhereTheNewOneFails(t *testing.T) {
	tests := []struct {
		name   string
		update func(*spec.Update)
		word   string
		left   string
	}{
		{"rollback", onFailure(spec.UpdateRollback), "web rolled back", "one:0"},
		{"stop", onFailure(spec.UpdateStop), "web rolled back", "one:0"},
		{"continue", onFailure(spec.UpdateContinue), "web failed", "two:1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newSideBySide(t)
				edit := func(d *spec.Daemon) { tt.update(d.Spec.Update) }
				b.mustApply(t, web("one", edit))
				defer b.neverDown(t)()
				first := b.look(t).Instance.ID
				b.sick(t, "two")
				got, err := b.apply(t, ApplyOptions{}, PruneOptions{}, web("two", edit))
				alike(t, "apply", got, tt.word)
				says(t, err, "not Ready within 20s", "HTTP 500")
				if got := b.copies(t); got != tt.left {
					t.Errorf("%s runs, want %s", got, tt.left)
				}
				if o := b.look(t); tt.left == "one:0" && (o.Instance.ID != first || o.Stamp.Generation != 1 || o.Outgoing != nil) {
					t.Errorf("the old one isn't as it was: %+v, instance %+v", o, o.Instance)
				}
				told := "RolledBack: web: generation 2 failed, and the instance of generation 1, which ran beside it, goes on: "
				if all := b.reasons(t); strings.Contains(all, told) != (tt.left == "one:0") {
					t.Errorf("%q in the events:\n%s", told, all)
				}
			})
		})
	}
}

func TestARunStartsFirstAndRemembersWhatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newSideBySide(t)
		b.sick(t, "bad")
		k := keep(t, b.bench, RunOptions{Resync: time.Minute}, web("one"))
		defer b.neverDown(t)()
		k.src.set(nil, web("two"))
		k.after(30 * time.Second)
		if got := b.copies(t); got != "two:1" {
			t.Fatalf("%s runs; %q", got, b.said())
		}
		k.src.set(nil, web("bad"))
		k.after(5 * time.Second)
		if got := b.copies(t); got != "bad:0 two:1" {
			t.Fatalf("on the way %s runs", got)
		}
		k.after(time.Minute)
		if got := b.copies(t); got != "two:1" {
			t.Fatalf("%s runs; %q", got, b.said())
		}
		starts := b.fake.Count(spec.VerbStart, "web")
		k.after(time.Hour)
		if n := b.fake.Count(spec.VerbStart, "web"); n != starts {
			t.Errorf("it was tried again")
		}
		k.src.set(nil, web("three"))
		k.after(time.Minute)
		if got := b.copies(t); got != "three:0" {
			t.Errorf("%s runs", got)
		}
	})
}

// TestWhatFailedBesideTheOldOneStaysInTheHistory, as what failed in its place does: later changes have numbers of their own, and none is undone to it.
func TestWhatFailedBesideTheOldOneStaysInTheHistory(t *testing.T) {
	const (
		good = `ready true, failed ""`
		bad  = `ready false, failed "not Ready within 20s: it runs, but isn't Ready: HTTP 500"`
	)
	remembered := func(t *testing.T, b *sideBySide) (all []string) {
		t.Helper()
		revs, err := b.History(t.Context(), "web")
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range revs {
			why := strings.TrimPrefix(r.Failed, "daemon web on localhost: ")
			all = append(all, fmt.Sprintf("%d %s, ready %t, failed %q", r.Generation, r.Spec.Args[0], r.Ready, why))
		}
		return all
	}
	t.Run("apply", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newSideBySide(t)
			b.sick(t, "bad", "bad too")
			for _, word := range []string{"one", "two", "bad", "bad too", "three"} {
				_, _ = b.apply(t, ApplyOptions{}, PruneOptions{}, web(word)) // the history tells how it ended
			}
			alike(t, "history", remembered(t, b), "1 one, "+good, "2 two, "+good, "3 bad, "+bad, "4 bad too, "+bad, "5 three, "+good)
			if it, err := b.e.Undo(t.Context(), "web", 0, ApplyOptions{}); err != nil || it.Action != Configured {
				t.Fatalf("undo: %+v, %v", it, err)
			}
			if got := b.look(t).Stamp; got.Spec.Args[0] != "two" || got.Generation != 6 {
				t.Errorf("undone to %q, as generation %d", got.Spec.Args, got.Generation)
			}
		})
	})
	t.Run("run", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newSideBySide(t)
			b.sick(t, "bad", "bad too")
			k := keep(t, b.bench, RunOptions{Resync: time.Minute}, web("one"))
			defer b.neverDown(t)()
			for _, word := range []string{"two", "bad", "bad too", "bad"} {
				k.after(30 * time.Second)
				k.src.set(nil, web(word))
			}
			k.after(30 * time.Second)
			alike(t, "history", remembered(t, b), "1 one, "+good, "2 two, "+good, "3 bad, "+bad, "4 bad too, "+bad, "5 bad, "+bad)
			starts := func() int { return b.fake.Count(spec.VerbStart, "web") + b.fake.Count(spec.VerbStart, "web_1") }
			before := starts()
			k.after(time.Hour)
			if starts() != before {
				t.Error("what failed last was tried again")
			}
			k.src.set(nil, web("three"))
			k.after(30 * time.Second)
			if got := b.look(t).Stamp; got.Spec.Args[0] != "three" || got.Generation != 6 {
				t.Errorf("%q runs, as generation %d", got.Spec.Args, got.Generation)
			}
		})
	})
}

func TestWhoeverComesAfterACrashGoesOnWithTwoCopies(t *testing.T) {
	for _, verb := range []spec.Verb{spec.VerbStart, spec.VerbStop, spec.VerbRemove} {
		t.Run("after the "+string(verb), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newSideBySide(t)
				b.mustApply(t, web("one"))
				ctx, crash := context.WithCancel(t.Context())
				b.fake.After(func(step spec.Step, err error) {
					if step.Verb == verb {
						crash()
					}
				})
				r, err := b.e.Review(ctx, []*spec.Daemon{web("two")}, PruneOptions{})
				if err != nil {
					t.Fatal(err)
				}
				_, err = b.e.Apply(ctx, r, ApplyOptions{})
				if err == nil {
					t.Fatal("the apply wasn't cut off")
				}
				defer b.neverDown(t)()
				got, err := b.apply(t, ApplyOptions{Wait: true}, PruneOptions{}, web("two"))
				if err != nil {
					t.Fatalf("%v (%v)", err, got)
				}
				if got := b.copies(t); got != "two:1" {
					t.Errorf("%s runs", got)
				}
				if o := b.look(t); o.Outgoing != nil || o.State != spec.Running {
					t.Errorf("left is %+v", o)
				}
			})
		})
	}
}

// TestACrashWhileTheNewOneIsAbandoned leaves the one before as the daemon, which nobody stops, and the next apply takes away what is left, whatever it wants.
func TestACrashWhileTheNewOneIsAbandoned(t *testing.T) {
	for word, left := range map[string]string{"one": "one:0", "three": "three:1"} {
		t.Run("then "+word, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newSideBySide(t)
				b.mustApply(t, web("one"))
				first := b.look(t).Instance.ID
				b.sick(t, "two")
				ctx, crash := context.WithCancel(t.Context())
				b.fake.After(func(step spec.Step, err error) {
					if step.Verb == spec.VerbStop {
						crash()
					}
				})
				r, err := b.e.Review(ctx, []*spec.Daemon{web("two")}, PruneOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if _, err = b.e.Apply(ctx, r, ApplyOptions{}); err == nil {
					t.Fatal("the apply wasn't cut off")
				}
				if o := b.look(t); o.State != spec.Running || o.Instance.ID != first || o.Outgoing == nil || !o.Outgoing.Spent() {
					t.Errorf("left is %+v, instance %+v, outgoing %+v", o, o.Instance, o.Outgoing)
				}
				defer b.neverDown(t)()
				if _, err := b.apply(t, ApplyOptions{}, PruneOptions{}, web(word)); err != nil {
					t.Fatal(err)
				}
				if o := b.look(t); b.copies(t) != left || o.Outgoing != nil {
					t.Errorf("%s runs, want %s; outgoing %+v", b.copies(t), left, o.Outgoing)
				}
			})
		})
	}
}

func TestBothCopiesGoWithTheDaemon(t *testing.T) {
	for name, end := range map[string]func(*Engine, context.Context) error{
		"deleted": func(e *Engine, ctx context.Context) error {
			_, err := e.Delete(ctx, []string{"web"}, DeleteOptions{})
			return err
		},
		"stopped": func(e *Engine, ctx context.Context) error { _, err := e.Stop(ctx, []string{"web"}, "me"); return err },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newSideBySide(t)
				b.sick(t, "two")
				k := keep(t, b.bench, RunOptions{}, web("one"))
				k.src.set(nil, web("two"))
				k.after(2 * time.Second)
				if got := b.copies(t); got != "one:0 two:1" {
					t.Fatalf("at first %s runs", got)
				}
				_ = k.stop()
				if err := end(b.e, t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := b.copies(t); got != "" {
					t.Errorf("%s runs", got)
				}
			})
		})
	}
}

func TestRestartOfADaemonThatStartsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newSideBySide(t)
		b.mustApply(t, web("one"))
		defer b.neverDown(t)()
		items, err := b.e.Restart(t.Context(), []string{"web"}, ApplyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		alike(t, "restart", words(items), "web restarted")
		if got := b.copies(t); got != "one:1" {
			t.Errorf("%s runs", got)
		}
		b.Probes(func(context.Context, string, spec.Health) error {
			if b.look(t).Slot == 0 {
				return errors.New("HTTP 500")
			}
			return nil
		})
		before := b.look(t).Instance.ID
		items, err = b.e.Restart(t.Context(), []string{"web"}, ApplyOptions{})
		alike(t, "restart of one that isn't Ready", words(items), "web rolled back")
		says(t, err, "HTTP 500", "the instance before it goes on")
		if o := b.look(t); o.Instance.ID != before || o.Outgoing != nil {
			t.Errorf("left is %+v", o)
		}
		if revs, err := b.History(t.Context(), "web"); err != nil || slices.ContainsFunc(revs, func(r spec.Revision) bool { return r.Failed != "" }) {
			t.Errorf("the revision, which was Ready, is said to have failed: %+v, %v", revs, err)
		}
	})
}

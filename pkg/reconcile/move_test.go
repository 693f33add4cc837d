package reconcile

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

// grown is a machine of plain processes that has become one with systemd: web runs, started before.
type grown struct {
	*bench
	systemd, process *driverstest.Fake
	most             int // copies of web that were ever alive at once
}

func noSystemd() *drivers.Unavailable {
	return &drivers.Unavailable{Kind: spec.DriverSystemd, Reason: "systemd isn't running", Remedy: "boot it"}
}

func newGrown(t *testing.T, web *spec.Daemon) *grown {
	t.Helper()
	g := &grown{bench: newBench(), systemd: driverstest.NewFake().As(spec.DriverSystemd)}
	g.process = g.Fake()
	g.Lacks(noSystemd())
	g.mustApply(t, web)
	g.Gains(g.systemd)
	for _, f := range []*driverstest.Fake{g.systemd, g.process} {
		f.After(func(spec.Step, error) { g.most = max(g.most, g.copies()) })
	}
	return g
}

func (g *grown) copies() int { return g.systemd.Alive("web") + g.process.Alive("web") }

// moved fails unless web runs once, by systemd, and nothing of it is left with the other driver.
func (g *grown) moved(t *testing.T) {
	t.Helper()
	left, err := g.process.List(t.Context())
	if g.systemd.Alive("web") != 1 || g.copies() != 1 || len(left) > 0 || err != nil {
		t.Errorf("systemd runs %d, process %d and has %v (%v)", g.systemd.Alive("web"), g.process.Alive("web"), left, err)
	}
	if g.most > 1 {
		t.Errorf("%d copies ran at once", g.most)
	}
}

func (g *grown) reasons(t *testing.T) (all []string) {
	t.Helper()
	err := g.Events(t.Context(), time.Time{}, false, func(e spec.Event) bool {
		all = append(all, strings.TrimSuffix(e.Reason+": "+e.Message, ": "))
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestABetterDriverTakesADaemonOver(t *testing.T) {
	web := manifest("web", files("1"))
	g := newGrown(t, web)
	r, err := g.e.Review(t.Context(), []*spec.Daemon{web}, PruneOptions{})
	if err != nil {
		t.Fatal(err)
	}
	it := r.Items[0]
	if diff := cmp.Diff(&Move{From: spec.DriverProcess, To: spec.DriverSystemd, Reason: "a better driver is available"}, it.Move); diff != "" {
		t.Error(diff)
	}
	if it.Action != Configured || it.Driver != spec.DriverSystemd || len(it.Changes) > 0 || len(it.Fallback) > 0 {
		t.Errorf("it is %s by %s, with changes %v", it.Action, it.Driver, it.Changes)
	}
	if _, err := g.e.Apply(t.Context(), r, ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	g.moved(t)
	if got, err := g.apply(t, ApplyOptions{}, PruneOptions{}, web); err != nil || got[0] != "web unchanged" {
		t.Errorf("applied again: %v, %v", got, err)
	}
	why := "driver systemd instead of process: a better driver is available"
	want := []string{
		"FilesWritten: /etc/web.conf", "Started: generation 1 under process", "DriverFallback: process instead of systemd: systemd isn't running; to mend it: boot it",
		"FilesWritten: /etc/web.conf: " + why, "Stopped: " + why, "Removed: " + why, "FilesWritten: /etc/web.conf: " + why, "Started: generation 1 under systemd: " + why,
	}
	if diff := cmp.Diff(want, g.reasons(t)); diff != "" {
		t.Error(diff)
	}
}

func TestAManifestThatNamesItsDriverStaysWithIt(t *testing.T) {
	web := manifest("web", by(spec.DriverProcess))
	g := newGrown(t, web)
	g.Lacks(noSystemd())
	if got, err := g.apply(t, ApplyOptions{}, PruneOptions{}, web); err != nil || got[0] != "web unchanged" {
		t.Errorf("got %v, %v", got, err)
	}
	views, err := g.e.Look(t.Context(), "web")
	if err != nil || len(views[0].Fallback) > 0 {
		t.Errorf("it misses %v (%v)", views[0].Fallback, err)
	}
}

func TestWhatADriverThatWasLostHasIsMovedToTheNextBest(t *testing.T) {
	web := manifest("web")
	g := newGrown(t, web)
	g.mustApply(t, web)
	g.moved(t)
	// Systemd can't be chosen any more, and comes last of those that look after daemons.
	b := &bench{Host: driverstest.NewHost(g.process, drivers.Keeping(g.systemd, noSystemd()))}
	b.Lacks(noSystemd())
	b.e = b.engine()
	r, err := b.e.Review(t.Context(), []*spec.Daemon{web}, PruneOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if m := r.Items[0].Move; m == nil || m.To != spec.DriverProcess || m.Reason != "systemd isn't running" {
		t.Errorf("the move is %+v", m)
	}
	if _, err := b.e.Apply(t.Context(), r, ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	if g.process.Alive("web") != 1 || g.systemd.Alive("web") != 0 || g.most > 1 {
		t.Errorf("process runs %d, systemd %d, %d at once", g.process.Alive("web"), g.systemd.Alive("web"), g.most)
	}
}

// TestAMoveThatIsCutOffIsFinished ends the program before and after each step of a move, and lets the next one go on.
func TestAMoveThatIsCutOffIsFinished(t *testing.T) {
	web := manifest("web", files("1"))
	died := fmt.Errorf("the program died: %w", drivers.ErrPermanent)
	const steps = 5 // Files Stop Remove by the one driver, Files Start by the other
	for at := range steps {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("step %d, after it %t", at+1, after), func(t *testing.T) {
				g := newGrown(t, web)
				n := 0
				ctx, die := context.WithCancel(t.Context())
				defer die()
				for _, f := range []*driverstest.Fake{g.systemd, g.process} {
					f.Before(func(_ context.Context, s spec.Step) error {
						n++
						switch {
						case n == at+1 && after:
							die()
						case n == at+1:
							return died
						case n > at+1:
							return errors.New("a dead program does nothing")
						}
						return nil
					})
				}
				r, err := g.e.Review(t.Context(), []*spec.Daemon{web}, PruneOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := g.e.Apply(ctx, r, ApplyOptions{}); err == nil && !(after && at+1 == steps) {
					t.Fatal("it wasn't cut off")
				}
				if n < at+1 {
					t.Fatalf("there are only %d steps", n)
				}
				for _, f := range []*driverstest.Fake{g.systemd, g.process} {
					f.Before(nil)
				}
				g.e = g.engine()
				g.mustApply(t, web)
				g.moved(t)
			})
		}
	}
}

func TestADriverThatCannotStartADaemonDoesNotGetIt(t *testing.T) {
	web := manifest("web", func(d *spec.Daemon) { d.Spec.Cgroup = &spec.Cgroup{MemoryLimit: 1 << 20, Required: true} })
	synctest.Test(t, func(t *testing.T) {
		b := &bench{Host: driverstest.NewHost(driverstest.NewFake().Enforces())}
		b.e = b.engine()
		b.mustApply(t, web)
		systemd := driverstest.NewFake().As(spec.DriverSystemd)
		b.Gains(systemd)
		process := b.Drivers()[1].(*driverstest.Fake)
		if got, err := b.apply(t, ApplyOptions{}, PruneOptions{}, web); !errors.Is(err, drivers.ErrUnsupported) || got[0] != "web refused" {
			t.Errorf("apply: %v, %v", got, err)
		}
		k := keep(t, b, RunOptions{}, web)
		k.after(time.Hour)
		if process.Alive("web") != 1 || systemd.Count(spec.VerbStart, "web") > 0 || process.Count(spec.VerbStop, "web") > 0 {
			t.Errorf("process runs %d; said: %v", process.Alive("web"), k.said())
		}
		if n := strings.Count(strings.Join(k.said(), "\n"), "web refused"); n != 1 {
			t.Errorf("it said %d times that it refuses: %v", n, k.said())
		}
		if err := k.stop(); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// TestRunMovesOnce checks that a run moves a daemon once, and leaves it alone while a driver can't be asked.
func TestRunMovesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		web := manifest("web")
		g := newGrown(t, web)
		k := keep(t, g.bench, RunOptions{}, web)
		k.after(time.Hour)
		g.moved(t)
		for _, f := range []*driverstest.Fake{g.systemd, g.process} {
			f.Unreachable("the bus is gone")
			k.after(time.Hour)
			f.Unreachable("")
			k.after(time.Hour)
		}
		g.moved(t)
		if s, p := g.systemd.Count(spec.VerbStart, "web"), g.process.Count(spec.VerbStart, "web"); s != 1 || p != 1 {
			t.Errorf("systemd started it %d times and process %d times, want once each", s, p)
		}
		if err := k.stop(); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// TestASecondCopyIsRemoved checks what becomes of a daemon that two drivers have, as only somebody else can bring it about.
func TestASecondCopyIsRemoved(t *testing.T) {
	web := manifest("web")
	g := newGrown(t, web)
	start := spec.Step{Verb: spec.VerbStart, Name: "web", Want: web, Owner: spec.Owner{Set: "default"}, Generation: 1}
	if err := g.systemd.Apply(t.Context(), start); err != nil {
		t.Fatal(err)
	}
	g.most = 0
	first, err := g.systemd.Observe(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	g.mustApply(t, web)
	again, err := g.systemd.Observe(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	if g.copies() != 1 || again[0].Instance.ID != first[0].Instance.ID {
		t.Errorf("%d copies; systemd's was %s and is %s", g.copies(), first[0].Instance.ID, again[0].Instance.ID)
	}
}

func TestLossesAreToldOnce(t *testing.T) {
	limited := manifest("web", func(d *spec.Daemon) { d.Spec.Cgroup = &spec.Cgroup{MemoryLimit: 1 << 20} })
	count := func(b *bench) (n int) {
		for _, r := range (&grown{bench: b}).reasons(t) {
			if strings.HasPrefix(r, "LimitLost: spec.cgroup.memoryLimit is not enforced") {
				n++
			}
		}
		return n
	}
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.mustApply(t, limited)
		b.mustApply(t, limited)
		if n := count(b); n != 1 {
			t.Errorf("after two applies it was told %d times", n)
		}
		k := keep(t, b, RunOptions{}, limited)
		k.crash(t, "web")
		k.after(time.Hour)
		if n := count(b); n != 1 {
			t.Errorf("after a restart it was told %d times", n)
		}
		if err := k.stop(); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

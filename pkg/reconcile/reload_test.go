package reconcile

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

// configured has web read a config file anew when it is told to, and shows its version where version says which.
func configured(version string) func(*spec.Daemon) {
	return func(d *spec.Daemon) {
		content := []byte("version " + version)
		digest := driverstest.ContentDigest(content)
		d.Spec.Files = []spec.File{{Path: "/etc/web.conf", Digest: digest}}
		d.Contents = map[string][]byte{digest: content}
		d.Spec.Reload = &spec.Reload{Signal: "SIGHUP", Expect: &spec.ReloadExpect{URL: "http://localhost/version", Body: version}}
	}
}

// answers has web answer as one that reads its config file at each SIGHUP, after a while, but for versions that it can't read.
func (b *bench) answers(t *testing.T, unreadable string) {
	var shown atomic.Value
	read := func(p *driverstest.Proc) {
		if v := strings.TrimPrefix(string(p.ReadFile("/etc/web.conf")), "version "); v != unreadable {
			shown.Store(v)
		}
	}
	b.Fake().Behave("web", driverstest.Behaviour{
		Start: read,
		Signal: func(p *driverstest.Proc, s spec.Signal) {
			if s == "SIGHUP" {
				p.After(2*time.Second, func() { read(p) })
				return
			}
			p.Die(s)
		},
	})
	b.Probes(func(_ context.Context, _ string, h spec.Health) error {
		have, _ := shown.Load().(string)
		if h.ExpectBody != "" && h.ExpectBody != have {
			return errors.New("want " + h.ExpectBody + ", have " + have)
		}
		return nil
	})
}

func TestAReloadIsDoneWhenTheDaemonShowsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.answers(t, "")
		b.mustApply(t, manifest("web", checked(), configured("1")))
		before, began := b.state(t, "web").Instance.ID, time.Now()
		got, err := b.apply(t, ApplyOptions{}, PruneOptions{}, manifest("web", checked(), configured("2")))
		if err != nil {
			t.Fatal(err)
		}
		alike(t, "apply", got, "web configured")
		if took := time.Since(began); took < 2*time.Second || took > 4*time.Second {
			t.Errorf("it took %s, and the daemon 2s", took)
		}
		if o := b.state(t, "web"); o.Instance.ID != before || o.Stamp.Generation != 2 {
			t.Errorf("there is %+v, stamp %+v", o.Instance, o.Stamp)
		}
	})
}

func TestAReloadThatShowsNothingIsPutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.answers(t, "2")
		b.mustApply(t, manifest("web", checked(), updated(), configured("1")))
		before := b.state(t, "web").Instance.ID
		got, err := b.apply(t, ApplyOptions{}, PruneOptions{}, manifest("web", checked(), updated(), configured("2")))
		alike(t, "apply", got, "web rolled back")
		says(t, err, "nothing shows that it did: want 2, have 1", "generation 1 runs on")
		if f, _ := b.Fake().File("/etc/web.conf"); string(f.Content) != "version 1" {
			t.Errorf("the file holds %q", f.Content)
		}
		if o := b.state(t, "web"); o.Instance.ID != before {
			t.Error("it was restarted")
		}
	})
}

func TestARunPutsAReloadBackThatShowsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.answers(t, "2")
		k := keep(t, b, RunOptions{Resync: time.Minute}, manifest("web", checked(), updated(), configured("1")))
		before := b.state(t, "web").Instance.ID
		k.src.set(nil, manifest("web", checked(), updated(), configured("2")))
		k.after(10 * time.Minute)
		if f, _ := b.Fake().File("/etc/web.conf"); string(f.Content) != "version 1" {
			t.Errorf("the file holds %q; %q", f.Content, b.said())
		}
		if o := b.state(t, "web"); o.Instance.ID != before || o.Stamp.Generation != 1 {
			t.Errorf("there is %+v, stamp %+v", o.Instance, o.Stamp)
		}
		if c := condition(t, b, "web", spec.Stalled); c.Reason != "UpdateFailed" {
			t.Errorf("Stalled is %+v", c)
		}
	})
}

func TestAReloadThatEndsTheDaemonHasFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		plain := func(version string) *spec.Daemon {
			return manifest("web", configured(version), func(d *spec.Daemon) { d.Spec.Reload.Expect = nil })
		}
		b.Fake().Behave("web", driverstest.Behaviour{Signal: func(p *driverstest.Proc, s spec.Signal) {
			if s == "SIGHUP" {
				p.After(100*time.Millisecond, func() { p.Exit(2) })
				return
			}
			p.Die(s)
		}})
		b.mustApply(t, plain("1"))
		b.Fake().FailAlways(spec.VerbStart, "web", errors.New("no more"))
		_, err := b.apply(t, ApplyOptions{}, PruneOptions{}, plain("2"))
		if err == nil {
			t.Fatal("the apply says that all is well")
		}
		if said := strings.Join(b.said(), "; "); !strings.Contains(said, "web reload") {
			t.Errorf("it did: %s", said)
		}
		events := b.reasons(t)
		if !strings.Contains(events, "ReloadFailed: web: it didn't survive its reload: it exited with status 2") {
			t.Errorf("events: %s", events)
		}
	})
}

// reasons lists the events.
func (b *bench) reasons(t *testing.T) string {
	t.Helper()
	var all []string
	if err := b.Events(t.Context(), time.Time{}, false, func(e spec.Event) bool {
		all = append(all, e.Reason+": "+e.Name+": "+e.Message)
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, "\n")
}

func TestAReloadByACommandRunsItOnTheHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		want := func(version string) *spec.Daemon {
			return manifest("web", configured(version), func(d *spec.Daemon) { d.Spec.Reload = &spec.Reload{Exec: []string{"webctl", "reload"}} })
		}
		b.mustApply(t, want("1"))
		var ran []string
		b.Probes(func(_ context.Context, _ string, h spec.Health) error {
			if len(h.Exec) > 0 {
				ran = append(ran, strings.Join(h.Exec, " "))
			}
			return nil
		})
		b.mustApply(t, want("2"))
		alike(t, "commands", ran, "webctl reload")
	})
}

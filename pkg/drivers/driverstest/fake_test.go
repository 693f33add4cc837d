package driverstest

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

func start(name string) spec.Step {
	return spec.Step{Verb: spec.VerbStart, Name: name, Generation: 1, Want: &spec.Daemon{Metadata: spec.Metadata{Name: name}, Digest: "sha256:1"}}
}

func mustObserve(t *testing.T, f *Fake, name string) spec.Observed {
	t.Helper()
	o, err := f.Observe(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return o[0]
}

func TestFakeKeepsTheBubblesTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFake()
		f.Behave("web", Behaviour{Signal: func(p *Proc, s spec.Signal) { p.After(3*time.Second, func() { p.Exit(0) }) }})
		if err := f.Apply(t.Context(), start("web")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		o := mustObserve(t, f, "web")
		if o.Instance.Up != time.Hour {
			t.Errorf("up %s, want an hour", o.Instance.Up)
		}
		began := time.Now()
		stop := spec.Step{Verb: spec.VerbStop, Name: "web", Instance: o.Instance.ID, Stop: spec.Stop{GracePeriod: spec.Duration(10 * time.Second)}}
		if err := f.Apply(t.Context(), stop); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("stop took %s, want 3s", took)
		}
		if e := mustObserve(t, f, "web").Instance.Exit; e == nil || !e.Known || e.Code != 0 || !e.Asked {
			t.Errorf("exit %+v, want an asked exit 0", e)
		}
	})
}

func TestFakeIsScripted(t *testing.T) {
	f := NewFake()
	boom := errors.New("boom")
	f.Fail(spec.VerbStart, "web", boom)
	if err := f.Apply(t.Context(), start("web")); !errors.Is(err, boom) {
		t.Fatalf("got %v, want the scripted failure", err)
	}
	if err := f.Apply(t.Context(), start("web")); err != nil {
		t.Fatalf("a scripted failure came twice: %v", err)
	}
	f.FailAlways(spec.VerbStamp, "web", boom)
	for range 3 {
		s := start("web")
		s.Verb = spec.VerbStamp
		if err := f.Apply(t.Context(), s); !errors.Is(err, boom) {
			t.Fatalf("got %v, want the lasting failure", err)
		}
	}
	f.Crash("web", spec.Exit{Known: true, Code: 7})
	if o := mustObserve(t, f, "web"); o.State != spec.Exited || o.Instance.Exit.Code != 7 || o.Instance.Exit.Asked {
		t.Errorf("after a crash: %+v", o)
	}
	f.Unreachable("no route")
	if _, err := f.Observe(t.Context(), "web"); !errors.Is(err, drivers.ErrUnreachable) {
		t.Errorf("got %v, want ErrUnreachable", err)
	}
	f.Unreachable("")
	f.Unknown("web", "no answer")
	if o := mustObserve(t, f, "web"); o.State != spec.Unknown || o.Message != "no answer" {
		t.Errorf("got %+v, want Unknown", o)
	}
	if n := f.Count(spec.VerbStart, "web"); n != 2 {
		t.Errorf("%d starts, want 2", n)
	}
}

func TestFakeConforms(t *testing.T) {
	Run(t, func(*testing.T) Subject { return NewFake().Subject() })
}

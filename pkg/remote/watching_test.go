package remote

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

// watchFar starts daemons on a machine far away, and returns what hears of their changes.
func watchFar(t *testing.T, names ...string) (far drivers.Driver, near *driverstest.Fake, heard <-chan string) {
	t.Helper()
	near = driverstest.NewFake()
	a := farAway(t, Local{Host: driverstest.NewHost(near)})
	t.Cleanup(func() { a.leave(t) })
	far = a.Drivers()[0]
	for _, name := range names {
		want := driverstest.Want(far.Kind(), name, "/bin/sleep", "1000")
		for _, verb := range []spec.Verb{spec.VerbStamp, spec.VerbStart} {
			if err := far.Apply(t.Context(), spec.Step{Verb: verb, Name: name, Want: want, Driver: far.Kind()}); err != nil {
				t.Fatal(err)
			}
		}
	}
	all := make(chan string, 1000)
	go func() { _ = far.Watch(t.Context(), func(name string) { all <- name }) }()
	if name := <-all; name != "" {
		t.Fatalf("it isn't armed, but tells of %q", name)
	}
	return far, near, all
}

func tells(d drivers.Driver, name string) (spec.Observed, bool) { return d.(drivers.Teller).Told(name) }

// TestNewsComeWithALook: an end is known as soon as the link can carry it, and nobody has to ask.
func TestNewsComeWithALook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far, near, heard := watchFar(t, "web")
		if o, ok := tells(far, "web"); ok {
			t.Errorf("nothing happened, and it was told %+v", o)
		}
		time.Sleep(time.Minute)
		ended := time.Now()
		near.Crash("web", spec.Exit{Known: true, Signal: "SIGKILL"})
		if name := <-heard; name != "web" {
			t.Fatalf("it tells of %q", name)
		}
		if late := time.Since(ended); late > delay+delay/10 {
			t.Errorf("it came %s late", late)
		}
		o, ok := tells(far, "web")
		if !ok || o.State != spec.Exited || o.Instance.Exit.Signal != "SIGKILL" {
			t.Errorf("told %v: %+v", ok, o)
		}
		if o, ok := tells(far, "web"); ok {
			t.Errorf("told twice: %+v", o)
		}
		if found, err := far.Observe(t.Context(), "web"); err != nil || found[0].State != spec.Exited {
			t.Errorf("observed %+v, %v", found, err)
		}
	})
}

// TestOldNewsAreNone: what was told counts for a moment, and no longer than until a step.
func TestOldNewsAreNone(t *testing.T) {
	for name, then := range map[string]func(t *testing.T, far drivers.Driver){
		"time goes by": func(*testing.T, drivers.Driver) { time.Sleep(fresh + time.Millisecond) },
		"a step is tried": func(t *testing.T, far drivers.Driver) {
			if err := far.Apply(t.Context(), spec.Step{Verb: spec.VerbStop, Name: "other", Driver: far.Kind()}); !errors.Is(err, drivers.ErrMoved) {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				far, near, heard := watchFar(t, "web", "other")
				near.Crash("web", spec.Exit{Known: true})
				<-heard
				then(t, far)
				if o, ok := tells(far, "web"); ok {
					t.Errorf("told %+v", o)
				}
			})
		})
	}
}

// TestManyNewsAreNamesOnly: where much happens at once, who cares asks.
func TestManyNewsAreNamesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var names []string
		for i := range 3 * maxTold {
			names = append(names, fmt.Sprint("d", i))
		}
		far, near, heard := watchFar(t, names...)
		for _, n := range names {
			near.Crash(n, spec.Exit{Known: true})
		}
		found := map[string]bool{}
		for len(found) < len(names) {
			found[<-heard] = true
		}
		looks := 0
		for _, n := range names {
			if _, ok := tells(far, n); ok {
				looks++
			}
		}
		if looks > 2*maxTold {
			t.Errorf("%d looks nobody asked for", looks)
		}
	})
}

// TestAHostileAgentTellsInVain: looks at what it wasn't asked for are forgotten, and there is an end to those that nobody wants.
func TestAHostileAgentTellsInVain(t *testing.T) {
	d := &driver{facts: driverFacts{Kind: spec.DriverProcess}, told: &told{}}
	lookOf := func(at int, name, tag string) look {
		return look{At: at, Tag: tag, Observed: observed{Observed: spec.Observed{Name: name, State: spec.Running}}}
	}
	tell := func(l look) {
		d.told.take(tidings{Names: []string{"web"}, Looks: map[spec.DriverKind][]look{spec.DriverProcess: {l}}})
	}
	for _, l := range []look{lookOf(0, "other", ""), lookOf(1, "web", ""), lookOf(-1, "web", ""), lookOf(0, "web", strings.Repeat("x", tagLen+1))} {
		if tell(l); len(d.told.all) > 0 {
			t.Errorf("it keeps %+v", l)
		}
	}
	if tell(lookOf(0, "web", "x")); len(d.told.all) != 1 {
		t.Error("it keeps nothing")
	}
	for i := range 3 * maxUnused {
		name := fmt.Sprint(i)
		d.told.take(tidings{Names: []string{name}, Looks: map[spec.DriverKind][]look{spec.DriverProcess: {lookOf(0, name, "")}}})
	}
	if n := len(d.told.all); n > maxUnused {
		t.Errorf("it keeps %d", n)
	}
}

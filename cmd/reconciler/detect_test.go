package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/spec"
)

// What the constructor of a driver may find.
var (
	hasIt   = func(kind spec.DriverKind) (drivers.Driver, error) { return driverstest.NewFake().As(kind), nil }
	lacksIt = func(kind spec.DriverKind) (drivers.Driver, error) {
		return nil, fmt.Errorf("set up the %s driver: %w", kind, &drivers.Unavailable{Kind: kind, Reason: "no " + string(kind) + " here"})
	}
	lostIt = func(kind spec.DriverKind) (drivers.Driver, error) {
		return driverstest.NewFake().As(kind), &drivers.Unavailable{Kind: kind, Reason: "no more " + string(kind)}
	}
	wrongOS = func(kind spec.DriverKind) (drivers.Driver, error) {
		return nil, fmt.Errorf("it needs Linux: %w", drivers.ErrUnsupported)
	}
	noAnswer = func(kind spec.DriverKind) (drivers.Driver, error) {
		return nil, fmt.Errorf("ask it: %w", drivers.ErrUnreachable)
	}
)

type opening = func(spec.DriverKind) (drivers.Driver, error)

// machineWith is a machine whose drivers open as given.
func machineWith(systemd, cgroup, process opening) []candidate {
	candidate1 := func(kind spec.DriverKind, open opening) candidate {
		return candidate{kind, func(layout.Dirs) (drivers.Driver, error) { return open(kind) }, func(layout.Dirs) ([]string, error) { return nil, nil }}
	}
	return []candidate{candidate1(spec.DriverSystemd, systemd), candidate1(spec.DriverCgroup, cgroup), candidate1(spec.DriverProcess, process)}
}

func TestDetect(t *testing.T) {
	for _, c := range []struct {
		name    string
		machine []candidate
		prefer  string
		auto    spec.DriverKind // "" where there is none
		all     string          // what looks after daemons, in the order in which it is asked
		missed  string          // why auto isn't better than it is
		err     error
	}{
		{"all there is", machineWith(hasIt, hasIt, hasIt), "", "systemd", "systemd cgroup process", "", nil},
		{"a step down", machineWith(lacksIt, hasIt, hasIt), "", "cgroup", "cgroup process", "no systemd here", nil},
		{"what is worse isn't missed", machineWith(hasIt, lacksIt, hasIt), "", "systemd", "systemd process", "", nil},
		{"the last resort", machineWith(lacksIt, lacksIt, hasIt), "", "process", "process", "no systemd here, no cgroup here", nil},
		{"none", machineWith(lacksIt, lacksIt, wrongOS), "", "", "", "", nil},
		{"what was lost still looks after what it has", machineWith(lostIt, hasIt, hasIt), "", "cgroup", "cgroup process systemd", "no more systemd", nil},
		{"whoever can't tell may have daemons", machineWith(noAnswer, hasIt, hasIt), "", "", "", "", drivers.ErrUnreachable},
		{"whoever can't tell may have daemons, chosen or not", machineWith(noAnswer, hasIt, hasIt), "process", "", "", "", drivers.ErrUnreachable},
		{"one is asked for", machineWith(hasIt, hasIt, hasIt), "process", "process", "process systemd cgroup", "", nil},
		{"what isn't asked for isn't missed", machineWith(lacksIt, lacksIt, hasIt), "process", "process", "process", "", nil},
		{"another order", machineWith(hasIt, hasIt, hasIt), "cgroup, systemd", "cgroup", "cgroup systemd process", "", nil},
		{"the first in another order is missing", machineWith(hasIt, lacksIt, hasIt), "cgroup,systemd", "systemd", "systemd process", "no cgroup here", nil},
		{"none of those asked for", machineWith(lacksIt, hasIt, hasIt), "systemd", "", "cgroup process", "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			prefer, err := driverKinds(c.prefer)
			if err != nil {
				t.Fatal(err)
			}
			found, err := detect(c.machine, layout.Dirs{}, prefer)
			if !errors.Is(err, c.err) {
				t.Fatalf("got %v, want %v", err, c.err)
			}
			if err != nil {
				return
			}
			host := found.open(layout.Under(t.TempDir()))
			defer func() { _ = host.Close() }()
			if got := kinds(host.Drivers()); got != c.all {
				t.Errorf("daemons are looked after by %q, want %q", got, c.all)
			}
			best, err := host.Driver(spec.DriverAuto)
			if c.auto == "" {
				if !errors.Is(err, drivers.ErrUnsupported) || len(found.lacks) > 0 && !strings.Contains(err.Error(), found.lacks[0].Reason) {
					t.Errorf("got %v, want an error that says what is missing", err)
				}
				return
			}
			if err != nil || best.Kind() != c.auto {
				t.Fatalf("auto is %v (%v), want %s", best, err, c.auto)
			}
			if got := reasons(host.Fallback(best.Kind())); got != c.missed {
				t.Errorf("missed: %q, want %q", got, c.missed)
			}
		})
	}
}

// TestWhatAMissingDriverHasLeftIsUnknown checks that a daemon of a driver that can't be used any more is neither taken for absent nor started again.
func TestWhatAMissingDriverHasLeftIsUnknown(t *testing.T) {
	machine := machineWith(lacksIt, lacksIt, hasIt)
	machine[1].left = func(layout.Dirs) ([]string, error) { return []string{"web"}, nil }
	found, err := detect(machine, layout.Dirs{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	host := found.open(layout.Under(t.TempDir()))
	e := reconcile.New(host, reconcile.Options{Owner: spec.Owner{Set: "default"}})
	web := &spec.Daemon{Metadata: spec.Metadata{Name: "web"}, Spec: spec.Spec{Binary: "/bin/web"}, Source: "web.yaml:1", Digest: "sha256:0"}
	spec.Defaults(&web.Spec)
	r, err := e.Review(t.Context(), []*spec.Daemon{web}, reconcile.PruneOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if it := r.Items[0]; it.Action != reconcile.Frozen || len(it.Steps) > 0 || !strings.Contains(it.Reason, "driver cgroup has it, and can't be used from here: no cgroup here") {
		t.Errorf("it is %s: %s", it.Action, it.Reason)
	}
	views, err := e.Look(t.Context())
	if err != nil || len(views) != 1 || views[0].Observed.State != spec.Unknown {
		t.Errorf("get shows %+v (%v)", views, err)
	}
	if _, err := e.Stop(t.Context(), []string{"web"}, "ann"); !errors.Is(err, drivers.ErrUnreachable) {
		t.Errorf("stop: %v", err)
	}

	machine[1].left = func(layout.Dirs) ([]string, error) { return nil, errors.New("permission denied") }
	if _, err := detect(machine, layout.Dirs{}, nil); err == nil {
		t.Error("what can't be told is taken for nothing")
	}
}

func kinds(ds []drivers.Driver) string {
	var all []string
	for _, d := range ds {
		all = append(all, string(d.Kind()))
	}
	return strings.Join(all, " ")
}

func reasons(us []*drivers.Unavailable) string {
	var all []string
	for _, u := range us {
		all = append(all, u.Reason)
	}
	return strings.Join(all, ", ")
}

func TestDriverKinds(t *testing.T) {
	for list, want := range map[string][]spec.DriverKind{
		"": nil, "process": {spec.DriverProcess}, "systemd, cgroup,process": {spec.DriverSystemd, spec.DriverCgroup, spec.DriverProcess},
	} {
		got, err := driverKinds(list)
		if err != nil {
			t.Errorf("%q: %v", list, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %s", list, diff)
		}
	}
	for list, why := range map[string]string{"docker": `no driver "docker"`, "process,": `no driver ""`, "auto": `no driver "auto"`, "process,process": "twice"} {
		if _, err := driverKinds(list); err == nil || exitCode(err) != exitInput || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: got %v, want one that says %q", list, err, why)
		}
	}
}

// TestTheDriversOfThisMachine checks the real table: whatever this machine is, it runs plain processes, and is told why where it can't do better.
func TestTheDriversOfThisMachine(t *testing.T) {
	found, err := detect(candidates(), layout.Under(t.TempDir()), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(found.chosen)+len(found.lacks) != len(candidates()) {
		t.Errorf("%d drivers chosen and %d missing of %d", len(found.chosen), len(found.lacks), len(candidates()))
	}
	for _, u := range found.lacks {
		if u.Reason == "" {
			t.Errorf("nothing says why there is no %s driver", u.Kind)
		}
	}
}

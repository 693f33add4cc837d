package main

import (
	"strings"
	"testing"
	"time"

	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

// TestBothCopiesAreShown of a daemon that is being updated by a second copy.
func TestBothCopiesAreShown(t *testing.T) {
	dirs := layout.Under(t.TempDir())
	if err := dirs.Make(); err != nil {
		t.Fatal(err)
	}
	transcripts(t, func(d *desk) {
		d.host = driverstest.NewHost(drivers.WithSlots(driverstest.NewFake(), dirs))
	}, map[string]func(*desk){"copies": copiesSession})
}

func copiesSession(d *desk) {
	d.sideBySide("web")
	d.host.Uses(func(s *spec.Sample) {
		cpu, memory := s.Clock/4, int64(64<<20)
		if s.Instance == d.copy("web").Outgoing.ID {
			cpu, memory = s.Clock/2, 96<<20
		}
		s.CPU.Usage, s.Memory.Current, s.Ports = &cpu, &memory, []spec.Port{}
	})
	d.host.Fake().WriteFile("/log/web.log", driverstest.File{Content: []byte("listening\nlistening, too\n")})
	d.must(0, "get")
	d.must(0, "get", "-o", "wide")
	d.must(0, "get", "-o", "go-template={{range .items}}{{.status.pids}} {{.status.outgoing}}{{end}}")
	d.must(0, "describe", "web")
	d.must(0, "logs", "web")
	d.must(0, "stats", "--count=2", "--interval=1s")
	d.must(0, "top", "--once")
	stdout, _ := d.must(0, "top", "--once", "-o", "json")
	if strings.Count(stdout, `"host"`) != 2 || strings.Count(stdout, `"outgoing"`) != 1 {
		d.t.Error("a program doesn't find both where it looks for one:", stdout)
	}
	d.note("the copy that is to go ends by itself")
	d.host.Fake().Crash("web", spec.Exit{Known: true, Code: 3})
	d.must(0, "describe", "web")
	d.must(0, "get", "-o", "wide")
	d.must(0, "logs", "web")
}

// sideBySide leaves a daemon with two copies, as an update does for a while.
func (d *desk) sideBySide(name string) {
	d.t.Helper()
	drv := d.host.Drivers()[0]
	for generation, say := range []string{"one", "two"} {
		want := driverstest.Want(drv.Kind(), name, "/bin/web", say, spec.SlotReference)
		want.Spec.Update = &spec.Update{Strategy: spec.UpdateStartFirst}
		want.Digest = say
		s := spec.Step{Verb: spec.VerbStart, Name: name, Want: want, Driver: drv.Kind(), Owner: spec.Owner{Set: "shop"}, Generation: int64(generation + 1)}
		if in := d.copy(name).Instance; in != nil {
			s.Beside, s.Instance = true, in.ID
			time.Sleep(time.Minute)
		}
		if err := drv.Apply(d.t.Context(), s); err != nil {
			d.t.Fatal(err)
		}
	}
}

func (d *desk) copy(name string) spec.Observed {
	found, err := d.host.Drivers()[0].Observe(d.t.Context(), name)
	if err != nil {
		d.t.Fatal(err)
	}
	return found[0]
}

// TestRatesOfCopies go on where a copy's part changes: the one that ran alone is the one that is to go, and then perhaps alone again.
func TestRatesOfCopies(t *testing.T) {
	sample := func(instance string, clock, cpu time.Duration) *spec.Sample {
		return &spec.Sample{Name: "web", State: spec.Running, Instance: instance, Clock: clock, CPU: spec.CPUUse{Usage: &cpu}}
	}
	alone := *sample("a", 1*time.Second, 1*time.Second)
	both := *sample("b", 2*time.Second, 0)
	both.Outgoing = sample("a", 2*time.Second, 2*time.Second)
	again := *sample("a", 3*time.Second, 4*time.Second)
	if m := measuredSince("", alone, both); m.Rates == nil || m.Rates.CPU != nil || *m.Outgoing.Rates.CPU != 1 {
		t.Errorf("when the second copy came: %+v, outgoing %+v", m.Rates, m.Outgoing.Rates)
	}
	if m := measuredSince("", both, again); *m.Rates.CPU != 2 || m.Outgoing != nil {
		t.Errorf("when the second copy was given up: %+v, outgoing %+v", m.Rates, m.Outgoing)
	}
	if m := measuredSince("", spec.Sample{}, both); m.Rates != nil || m.Outgoing.Rates != nil {
		t.Errorf("the first time: %+v, outgoing %+v", m.Rates, m.Outgoing.Rates)
	}
}

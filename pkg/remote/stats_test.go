package remote

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

// TestStatsOfAnyNumberOfDaemonsTravel sends more than a frame could hold.
func TestStatsOfAnyNumberOfDaemonsTravel(t *testing.T) {
	near := driverstest.NewHost()
	for i := range 500 {
		want := &spec.Daemon{Metadata: spec.Metadata{Name: fmt.Sprintf("d%03d", i)}, Spec: spec.Spec{Binary: "/bin/d"}, Digest: "sha256:0"}
		if err := near.Fake().Apply(t.Context(), spec.Step{Verb: spec.VerbStart, Name: want.Name, Want: want, Generation: 1}); err != nil {
			t.Fatal(err)
		}
	}
	near.Uses(func(s *spec.Sample) {
		s.Tasks = new(int64)
		s.Missing = []spec.Loss{{Field: "net", Reason: strings.Repeat("long ", 8<<10)}}
	})
	far := connect(t, Local{Host: near.Reopen()})
	for _, q := range []drivers.StatsQuery{{}, {Names: []string{"d007", "none", "d003"}, Ports: true}} {
		want, err := near.Stats(t.Context(), q)
		got, err2 := far.Stats(t.Context(), q)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		for i := range want {
			want[i].At, want[i].Clock = got[i].At, got[i].Clock
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	near.Fake().Unreachable("asleep")
	if got, err := far.Stats(t.Context(), drivers.StatsQuery{}); err == nil || !strings.Contains(err.Error(), "asleep") {
		t.Errorf("got %d, %v", len(got), err)
	}
}

// TestBothCopiesTravel: a host that is far away tells of both copies of a daemon that is being updated, as the machine itself does.
func TestBothCopiesTravel(t *testing.T) {
	dirs := layout.Under(t.TempDir())
	if err := dirs.Make(); err != nil {
		t.Fatal(err)
	}
	far := connect(t, Local{Host: driverstest.NewHost(drivers.WithSlots(driverstest.NewFake(), dirs))})
	d := far.Drivers()[0]
	look := func() spec.Observed {
		found, err := d.Observe(t.Context(), "web")
		if err != nil {
			t.Fatal(err)
		}
		return found[0]
	}
	var first string
	for generation := range int64(2) {
		want := driverstest.Want(d.Kind(), "web", "/bin/web", spec.SlotReference)
		want.Spec.Update = &spec.Update{Strategy: spec.UpdateStartFirst}
		if err := d.Apply(t.Context(), spec.Step{Verb: spec.VerbStart, Name: "web", Want: want, Driver: d.Kind(), Generation: generation + 1, Beside: first != "", Instance: first}); err != nil {
			t.Fatal(err)
		}
		if first == "" {
			first = look().Instance.ID
		}
	}
	o := look()
	if o.Outgoing == nil || o.Outgoing.ID != first || o.Outgoing.Generation != 1 || o.Instance.Generation != 2 || o.Slot != 1 {
		t.Fatalf("a look says %+v, outgoing %+v", o.Instance, o.Outgoing)
	}
	all, err := far.Stats(t.Context(), drivers.StatsQuery{})
	if err != nil || len(all) != 1 || all[0].Instance != o.Instance.ID || all[0].Outgoing == nil || all[0].Outgoing.Instance != first {
		t.Errorf("figures are %+v, %v", all, err)
	}
}

// TestStrangersTravel asks from afar what runs beside a driver's daemons; one that can't tell says so there as here.
func TestStrangersTravel(t *testing.T) {
	near := driverstest.NewHost()
	far := connect(t, Local{Host: near.Reopen()})
	surveyor, ok := drivers.Find[drivers.Surveyor](far.Drivers()[0])
	if !ok {
		t.Fatal("the twin can't be asked")
	}
	if _, err := surveyor.Strangers(t.Context()); !errors.Is(err, drivers.ErrUnsupported) {
		t.Errorf("of a machine that can't tell: %v", err)
	}
	want := []drivers.Stranger{
		{Kind: drivers.StrangerUnit, Name: "a.service", Cgroup: "/r.slice/a.service", PIDs: []int{1, 2}, Command: []string{"a", "\x1b\n"}, User: "ann", Since: time.Unix(1, 0).UTC()},
		{Kind: drivers.StrangerCgroup, Name: "/r.slice/b", Cgroup: "/r.slice/b", PIDs: []int{3}, Owner: "somebody"},
	}
	near.Fake().Neighbours(want...)
	got, err := surveyor.Strangers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

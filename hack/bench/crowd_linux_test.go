package main

import (
	"fmt"
	"testing"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

// A pass is over when the runs have looked at every daemon of every host, and not before.
func TestCrowd(t *testing.T) {
	var hosts []drivers.Host
	var fakes []*driverstest.Fake
	var wants [][]*spec.Daemon
	for range 3 {
		f := driverstest.NewFake()
		hosts, fakes = append(hosts, driverstest.NewHost(f)), append(fakes, f)
		var ds []*spec.Daemon
		for i := range 4 {
			ds = append(ds, driverstest.Want(spec.DriverProcess, fmt.Sprintf("d%d", i), "/bin/sleep", "1000"))
		}
		wants = append(wants, ds)
	}
	c, err := keep(t.Context(), hosts, wants)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.end(); err != nil {
			t.Error(err)
		}
	})
	for range 3 {
		before := make([]int, len(fakes))
		for i, f := range fakes {
			before[i] = f.Observes()
		}
		took, err := c.pass(t.Context())
		if err != nil || took <= 0 {
			t.Fatalf("a pass took %s: %v", took, err)
		}
		for i, f := range fakes {
			if f.Observes() == before[i] {
				t.Errorf("host %d wasn't looked at", i)
			}
		}
	}
	crashed := c.eyes[1].await(map[sight]func(spec.Observed) bool{{spec.DriverProcess, "d2"}: func(o spec.Observed) bool { return o.State == spec.Exited }})
	fakes[1].Crash("d2", spec.Exit{Signal: "SIGKILL"})
	if _, err := sees(t.Context(), crashed); err != nil {
		t.Error(err)
	}
}

package main

import (
	"io"
	"testing"
)

// The hosts of the other process are reached, keep their daemons, and are heard.
func TestSimulatedHosts(t *testing.T) {
	in, life := io.Pipe()
	said, out := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- beHosts(t.Context(), 3, in, out) }()
	targets, err := readTargets(said, 3)
	if err != nil {
		t.Fatal(err)
	}
	m := &meter{}
	hosts, err := m.tie(t.Context(), targets)
	if err != nil {
		t.Fatal(err)
	}
	c, err := keep(t.Context(), hosts.hosts, simulatedWants(3))
	if err != nil {
		t.Fatal(err)
	}
	before := m.bytes.Load()
	if took, err := c.pass(t.Context()); err != nil || took <= 0 {
		t.Errorf("a pass took %s: %v", took, err)
	}
	if m.bytes.Load() == before {
		t.Error("a pass over hosts behind a wire was silent")
	}
	for _, end := range []func() error{c.end, hosts.close, life.Close, func() error { return <-ended }} {
		if err := end(); err != nil {
			t.Error(err)
		}
	}
}

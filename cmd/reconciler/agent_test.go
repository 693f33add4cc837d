package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reconciler.dev/reconciler/internal/doctor"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/remote"
	"reconciler.dev/reconciler/pkg/spec"
)

// stdio is the stdin and stdout of a command, as the other end has them.
type stdio struct {
	io.Reader
	io.WriteCloser
}

// agent starts reconciler agent at the desk, and returns a session over its stdio, and what it ended with.
func (d *desk) agent(t *testing.T) (*session, <-chan int) {
	t.Helper()
	in, toAgent := io.Pipe()
	fromAgent, out := io.Pipe()
	errOut := new(screen)
	c := d.cli(out, errOut)
	c.in = in
	ended := make(chan int, 1)
	go func() {
		ended <- c.main(context.Background(), []string{"--state-dir=/state", "agent"})
		_ = out.Close() // never an error
	}()
	host, err := remote.Connect(t.Context(), stdio{fromAgent, toAgent}, remote.ConnectOptions{Name: "gpu-1"})
	if err != nil {
		t.Fatalf("%v; it said %s", err, errOut)
	}
	t.Cleanup(func() { _ = host.Close() }) // never an error
	return &session{engine: reconcile.New(host, reconcile.Options{Owner: spec.Owner{Set: "default"}}), host: host, facts: host.Facts(), call: host.Call}, ended
}

// TestAgent works on a machine through reconciler agent: daemons live on when it ends, and it ends with its stdin.
func TestAgent(t *testing.T) {
	d := newDesk(t)
	d.facts = doctor.Facts{User: "ann"}
	s, ended := d.agent(t)
	d.must(exitOK, "apply", "-f", "db.yaml")
	if s.facts.User == "" || !strings.HasSuffix(s.facts.Path, ":/usr/bin:/bin") || s.facts.Version == "" {
		t.Errorf("it says %+v", s.facts)
	}
	views, err := s.Look(t.Context())
	if err != nil || len(views) != 1 || views[0].Observed.Name != "db" {
		t.Fatalf("it sees %v, %v", views, err)
	}
	if places := s.logPlacesOf(t.Context(), views); places[0] != "/state/log/db.log" {
		t.Errorf("the log is said to be at %q", places)
	}
	wants := []*spec.Daemon{{Metadata: spec.Metadata{Name: "x"}, Spec: spec.Spec{Binary: "/bin/true", User: "no-such-user"}, Source: "x.yaml:1"}}
	f, err := (&cli{}).facts(t.Context(), s, wants)
	if err != nil || f.User != "ann" || len(f.Drivers) == 0 || len(f.Daemons) != 1 || !strings.Contains(f.Daemons[0].UserErr, "no-such-user") {
		t.Errorf("doctor is told %+v, %v", f, err)
	}
	if err := s.call(t.Context(), "nothing", nil, nil); !errors.Is(err, drivers.ErrUnsupported) {
		t.Errorf("a call that nobody answers: %v", err)
	}
	s.close()
	if code := <-ended; code != exitOK {
		t.Errorf("it ended with exit %d", code)
	}
	if n := d.host.Fake().Alive("db"); n != 1 {
		t.Errorf("%d processes of db are alive after the agent", n)
	}
}

// TestAgentTellsWhyItCant: what keeps an agent from opening its machine is told to whoever started it.
func TestAgentTellsWhyItCant(t *testing.T) {
	d := newDesk(t)
	in, out := io.Pipe()
	c := d.cli(out, io.Discard)
	c.connect = func(context.Context, *cli, *inventory, string, reconcile.Options) (*session, error) {
		return nil, errors.New("the bus doesn't answer")
	}
	go c.main(t.Context(), []string{"agent"})
	_, err := remote.Connect(t.Context(), stdio{in, out}, remote.ConnectOptions{Name: "gpu-1"})
	if err == nil || !strings.Contains(err.Error(), "gpu-1") || !strings.Contains(err.Error(), "the bus doesn't answer") {
		t.Errorf("connect: %v", err)
	}
}

// TestAgentInstalls has the program take its place, which is how a copy of it begins.
func TestAgentInstalls(t *testing.T) {
	d := newDesk(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	d.must(exitError, "agent", "--install", strings.Repeat("0", 64), filepath.Join(dir, "reconciler"))
	d.must(exitInput, "agent", "--install", "x")
	d.must(exitInput, "agent", "x")
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("a copy that isn't whole is installed: %v, %v", entries, err)
	}
	if _, err := os.Stat(self); err != nil {
		t.Errorf("it is gone: %v", err)
	}
}

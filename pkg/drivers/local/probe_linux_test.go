package local

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

// treeDriver is a driver that says which processes of this machine its daemons are.
type treeDriver struct {
	*driverstest.Fake
	pids  []int
	looks int
}

func (d *treeDriver) PIDs(context.Context, string) ([]int, error) {
	d.looks++
	return d.pids, nil
}

// TestProbeTellsTheDaemonFromASquatter: this process has the port, and is first a stranger and then a worker of the daemon.
func TestProbeTellsTheDaemonFromASquatter(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	addr := srv.Listener.Addr().String()
	_, port, _ := net.SplitHostPort(addr)
	timeout := spec.Duration(5 * time.Second)
	for name, check := range map[string]spec.Health{
		"tcp": {TCP: addr, Timeout: timeout}, "url": {URL: srv.URL, Timeout: timeout}, "name": {TCP: "localhost:" + port, Timeout: timeout},
	} {
		t.Run(name, func(t *testing.T) {
			d := &treeDriver{Fake: driverstest.NewFake()}
			h := hostWith(t, d, spec.Spec{})
			probe := func() error { return h.Probe(t.Context(), "web", check) }
			want := fmt.Sprintf(" (pid %d), which isn't this daemon; if it is meant to answer for it, check with health.exec", os.Getpid())
			for range 2 {
				if err := probe(); err == nil || !strings.HasPrefix(err.Error(), addr+" is answered by ") || !strings.HasSuffix(err.Error(), want) {
					t.Fatalf("a stranger: got %v, want %q", err, want)
				}
			}
			d.pids = []int{os.Getpid()}
			if err := probe(); err != nil {
				t.Errorf("the daemon: %v", err)
			}
			d.looks = 0
			if err := probe(); err != nil || d.looks != 0 {
				t.Errorf("the daemon again: %v after %d looks", err, d.looks)
			}
			first, err := d.Observe(t.Context(), "web")
			if err != nil {
				t.Fatal(err)
			}
			d.Crash("web", spec.Exit{Known: true, Code: 1})
			d.pids = nil
			startWeb(t, d, spec.Spec{}, first[0].Instance.ID)
			if err := probe(); err == nil {
				t.Error("the next instance isn't looked at anew")
			}
		})
	}
}

// TestProbeStandsWhereNothingIsKnown: neither a driver that knows no processes nor a daemon that doesn't run makes a check fail.
func TestProbeStandsWhereNothingIsKnown(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	check := spec.Health{TCP: l.Addr().String(), Timeout: spec.Duration(5 * time.Second)}
	if err := hostWith(t, driverstest.NewFake(), spec.Spec{}).Probe(t.Context(), "web", check); err != nil {
		t.Errorf("a driver without processes: %v", err)
	}
	if err := hostWith(t, &treeDriver{Fake: driverstest.NewFake()}, spec.Spec{}).Probe(t.Context(), "api", check); err != nil {
		t.Errorf("a daemon that doesn't run: %v", err)
	}
}

// TestProbeExecRunsAsTheDaemon holds that a check has the daemon's user, environment and directory, and no secret of it.
func TestProbeExecRunsAsTheDaemon(t *testing.T) {
	value, dir := "on", t.TempDir()
	s := spec.Spec{WorkingDir: dir, Env: map[string]spec.EnvVar{"MODE": {Value: &value}, "PATH": {Value: &dir}, "TOKEN": {FromEnv: "TOKEN", Digest: "sha256:0"}}}
	user := fmt.Sprint(os.Getuid())
	if os.Getuid() == 0 {
		user, s.User, s.Group = "65534", "65534", "65534"
		for parent := dir; parent != "/tmp" && parent != "/"; parent = parent[:strings.LastIndex(parent, "/")] {
			if err := os.Chmod(parent, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Setenv("TOKEN", "s3cret")
	if err := os.WriteFile(dir+"/tell", []byte("#!/bin/sh\necho $(/usr/bin/id -u) $MODE $PWD ${TOKEN-none}; exit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	check := spec.Health{Exec: []string{"tell"}, Timeout: spec.Duration(5 * time.Second)}
	err := hostWith(t, driverstest.NewFake(), s).Probe(t.Context(), "web", check)
	if want := fmt.Sprintf(": %s on %s none", user, dir); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}

// TestProbeExecOfNobody: where it isn't known whose check it is, it is not run, least of all with our own rights.
func TestProbeExecOfNobody(t *testing.T) {
	mark := t.TempDir() + "/ran"
	check := spec.Health{Exec: []string{"touch", mark}, Timeout: spec.Duration(5 * time.Second)}
	if err := newHost(t).Probe(t.Context(), "web", check); !errors.Is(err, drivers.ErrNotFound) {
		t.Errorf("a daemon that isn't there: %v", err)
	}
	d := driverstest.NewFake()
	h := hostWith(t, d, spec.Spec{})
	d.Unknown("web", "the disk is gone")
	if err := h.Probe(t.Context(), "web", check); err == nil || !strings.Contains(err.Error(), "the disk is gone") {
		t.Errorf("a daemon that can't be looked at: %v", err)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("the check was run")
	}
}

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"reconciler.dev/reconciler/test/labhost"
)

// remote is a host that a test drives from outside, with reconciler installed on it.
type remote struct {
	*labhost.Host
	t    *testing.T
	user string // who types; empty: root
}

// newRemote boots a host with reconciler in /usr/local/bin, where PATH finds it.
func newRemote(t *testing.T, kind labhost.Kind) *remote {
	t.Helper()
	return &remote{labhost.Start(t, kind, labhost.Bind{From: reconciler(t), To: "/usr/local/bin/reconciler"}), t, ""}
}

// answer is what a command on a host came to.
type answer struct {
	code   int
	stdout string
	stderr string
}

// run runs a command to its end.
func (r *remote) run(args ...string) answer {
	r.t.Helper()
	cmd := r.Command(r.t.Context(), args...)
	if r.user != "" {
		cmd = r.As(r.t.Context(), r.user, args...)
	}
	var out, err bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &err
	a := answer{}
	if e := cmd.Run(); e != nil {
		var exit *exec.ExitError
		if !errors.As(e, &exit) {
			r.t.Fatalf("%s on %s: %v", strings.Join(args, " "), r.Name, e)
		}
		a.code = exit.ExitCode()
	}
	a.stdout, a.stderr = out.String(), err.String()
	r.t.Logf("%s$ %s\n%s%s", r.Name, strings.Join(args, " "), a.stdout, a.stderr)
	return a
}

// ok is run for a command that has to succeed.
func (r *remote) ok(args ...string) answer {
	r.t.Helper()
	a := r.run(args...)
	if a.code != 0 {
		r.t.Fatalf("%s on %s: exit %d\n%s%s", strings.Join(args, " "), r.Name, a.code, a.stdout, a.stderr)
	}
	return a
}

// put writes a file of the host.
func (r *remote) put(path, text string) {
	r.t.Helper()
	if err := r.Put(path, []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// status is what get -o json says of a daemon, and what these tests look at.
type status struct {
	Phase, Driver, Cgroup string
	PID, Restarts         int
	PIDs                  []int
	Ports                 []struct {
		Address   string
		Port, PID int
	}
	Fallback   []struct{ Driver, Reason, Remedy string }
	Limits     struct{ Enforced, Lost map[string]string }
	Conditions []struct{ Type, Status string }
	Drift      []struct{ Field string }
}

// get looks at the daemons of a host.
func (r *remote) get() map[string]status {
	r.t.Helper()
	var list struct {
		Items []struct {
			Metadata struct{ Name string }
			Status   status
		}
	}
	if err := json.Unmarshal([]byte(r.ok("reconciler", "get", "-o", "json").stdout), &list); err != nil {
		r.t.Fatal(err)
	}
	all := map[string]status{}
	for _, it := range list.Items {
		all[it.Metadata.Name] = it.Status
	}
	return all
}

// until looks again and again until met.
func (r *remote) until(what string, met func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); !met(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("on %s it isn't so that %s", r.Name, what)
		}
	}
}

// untilRunning waits until these daemons run, and returns how they are.
func (r *remote) untilRunning(names ...string) map[string]status {
	r.t.Helper()
	var now map[string]status
	r.until(strings.Join(names, " and ")+" run", func() bool {
		now = r.get()
		for _, n := range names {
			if now[n].Phase != "Running" {
				return false
			}
		}
		return true
	})
	return now
}

package process

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

func TestCheck(t *testing.T) {
	r := newRig(t)
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/no/such/interpreter\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*spec.Spec)
		want   string // empty: nothing is the matter
		kind   error
	}{
		"fine":                     {func(*spec.Spec) {}, "", nil},
		"missing program":          {func(s *spec.Spec) { s.Binary = "/does/not/exist" }, "spec.binary: /does/not/exist: there is no such file", drivers.ErrPermanent},
		"directory":                {func(s *spec.Spec) { s.Binary = "/usr" }, "it is a directory", drivers.ErrPermanent},
		"not executable":           {func(s *spec.Spec) { s.Binary = "/etc/passwd" }, "chmod +x", drivers.ErrPermanent},
		"missing interpreter":      {func(s *spec.Spec) { s.Binary = script }, `"/no/such/interpreter" is missing`, drivers.ErrPermanent},
		"missing directory":        {func(s *spec.Spec) { s.WorkingDir = "/does/not/exist" }, "spec.workingDir: /does/not/exist is no directory", drivers.ErrPermanent},
		"directory that is a file": {func(s *spec.Spec) { s.WorkingDir = "/etc/passwd" }, "spec.workingDir", drivers.ErrPermanent},
		"unknown user":             {func(s *spec.Spec) { s.User = "no-such-user" }, `no user "no-such-user"`, drivers.ErrPermanent},
		"unknown group":            {func(s *spec.Spec) { s.Group = "no-such-group" }, `no group "no-such-group"`, drivers.ErrPermanent},
		"unknown limit":            {func(s *spec.Spec) { s.Rlimits = map[string]spec.Rlimit{"speed": {}} }, "spec.rlimits.speed", drivers.ErrPermanent},
		"log where none can be":    {func(s *spec.Spec) { s.Log.Path = "/proc/self/web.log" }, "spec.log.path", drivers.ErrPermanent},
		"log in a new directory":   {func(s *spec.Spec) { s.Log.Path = filepath.Join(t.TempDir(), "new", "web.log") }, "", nil},
		"limits":                   {func(s *spec.Spec) { s.Cgroup = &spec.Cgroup{PidsLimit: 1} }, "", nil},
		"required limits": {func(s *spec.Spec) { s.Cgroup = &spec.Cgroup{PidsLimit: 1, Required: true} },
			"spec.cgroup.pidsLimit: the process driver can't limit the number of a daemon's processes", drivers.ErrUnsupported},
		"secret that wasn't read": {func(s *spec.Spec) { s.Env = map[string]spec.EnvVar{"KEY": {FromFile: "/x"}} }, "spec.env.KEY", drivers.ErrPermanent},
	} {
		t.Run(name, func(t *testing.T) {
			d := want("web", "/bin/true")
			c.change(&d.Spec)
			lost, err := r.Check(t.Context(), d)
			if c.want == "" {
				if err != nil || len(lost) != len(r.losses("web", &d.Spec)) {
					t.Errorf("lost %+v, %v", lost, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || !errors.Is(err, c.kind) || !strings.HasPrefix(err.Error(), "check daemon web: ") {
				t.Errorf("got %v, want %q and %v", err, c.want, c.kind)
			}
		})
	}
	if entries, err := os.ReadDir(r.dirs.Run); err == nil && len(entries) > 0 {
		t.Errorf("a check left %v", entries)
	}
}

// TestCheckAsAnotherUser: root may execute what the daemon's user can't.
func TestCheckAsAnotherUser(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	d := want("web", program)
	d.Spec.User = "nobody"
	_, err := r.Check(t.Context(), d)
	wants := []string{"user nobody can't execute " + program, "permission denied"}
	if os.Geteuid() != 0 {
		wants = []string{"run as user nobody", "only root may do that"}
	}
	if err == nil || !errors.Is(err, drivers.ErrPermanent) || slices.ContainsFunc(wants, func(w string) bool { return !strings.Contains(err.Error(), w) }) {
		t.Errorf("got %v, want %q", err, wants)
	}
	d.Spec.Binary, d.Spec.WorkingDir = "/bin/true", dir
	if _, err := r.Check(t.Context(), d); !errors.Is(err, drivers.ErrPermanent) || os.Geteuid() == 0 && !strings.Contains(err.Error(), "user nobody can't enter "+dir) {
		t.Errorf("got %v", err)
	}
}

// TestLogOfAnotherUser belongs to that user, so that the daemon can open it again as /dev/stderr, and is readable by no stranger.
func TestLogOfAnotherUser(t *testing.T) {
	r := newRig(t)
	d := shell("web", `echo again > /dev/stderr && echo done; exec sleep 1000`)
	if os.Geteuid() == 0 {
		d.Spec.User = "nobody"
		for dir := filepath.Dir(r.dirs.Log); dir != "/"; dir = filepath.Dir(dir) { // /proc/self/fd/2 leads there by its path
			if fi, err := os.Stat(dir); err == nil && fi.Mode().Perm()&1 == 0 && strings.Contains(dir, t.Name()) {
				if err := os.Chmod(dir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	r.Start(d)
	if log := r.Says("web", "done"); log != "again\ndone\n" {
		t.Errorf("the log is %q", log)
	}
	if fi, err := os.Stat(r.dirs.Log + "/web.log"); err != nil || fi.Mode().Perm()&0o007 != 0 {
		t.Errorf("the log has mode %v, %v", fi.Mode(), err)
	}
}

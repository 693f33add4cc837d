package cgroup

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/pkg/drivers/process"
	"reconciler.dev/reconciler/pkg/spec"
)

// rig is a driver over directories of its own, which works below a cgroup of its own.
type rig struct {
	testing.TB
	*process.Driver
	dirs  layout.Dirs
	group string
	sub   *subtree
}

// newRig returns a rig whose daemons are stopped when the test ends.
func newRig(t testing.TB, dirs layout.Dirs, group string) *rig {
	t.Helper()
	d, err := New(Options{Dirs: dirs, Below: group})
	if err != nil {
		t.Fatal(err)
	}
	sub, err := findSubtree(group)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t, d, dirs, group, sub}
	t.Cleanup(r.killAll)
	return r
}

// fresh is a rig over new directories, below a new group.
func fresh(t testing.TB) *rig {
	t.Helper()
	return newRig(t, layout.Under(t.TempDir()), below(t))
}

// another returns a second driver over the same directories, as another process would have one.
func (r *rig) another() *rig {
	r.Helper()
	return newRig(r.TB, r.dirs, r.group)
}

// killAll ends whatever is left in the group.
func (r *rig) killAll() {
	writeFile(filepath.Join(r.sub.dir(r.group), "cgroup.kill"), "1") // it may have gone
	for full := true; full; {
		var err error
		if full, err = populated(r.sub.dir(r.group)); err != nil {
			r.Error(err)
			return
		}
	}
}

// want is a daemon that runs a program with arguments.
func want(name, binary string, args ...string) *spec.Daemon {
	d := &spec.Daemon{
		Metadata: spec.Metadata{Name: name}, Digest: "sha256:" + name,
		Spec: spec.Spec{Driver: spec.DriverCgroup, Binary: binary, Args: args, Stop: spec.Stop{GracePeriod: spec.Duration(5 * time.Second)}},
	}
	spec.Defaults(&d.Spec)
	return d
}

// shell is a daemon that is a shell script.
func shell(name, script string) *spec.Daemon { return want(name, "/bin/sh", "-c", script) }

// look1 looks at one daemon.
func (r *rig) look1(name string) spec.Observed {
	r.Helper()
	o, err := r.Observe(context.WithoutCancel(r.Context()), name)
	if err != nil {
		r.Fatal(err)
	}
	return o[0]
}

// until looks until met is true.
func (r *rig) until(name string, met func(spec.Observed) bool) spec.Observed {
	r.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		o := r.look1(name)
		if met(o) {
			return o
		}
		if time.Now().After(deadline) {
			r.Fatalf("it stays %s: %+v, instance %+v", o.State, o, o.Instance)
		}
		time.Sleep(time.Millisecond)
	}
}

func is(s spec.State) func(spec.Observed) bool {
	return func(o spec.Observed) bool { return o.State == s }
}

// step returns a step against what is there now.
func (r *rig) step(verb spec.Verb, d *spec.Daemon) spec.Step {
	r.Helper()
	s := spec.Step{Verb: verb, Name: d.Name, Want: d, Owner: spec.Owner{Set: "test"}, Generation: 1, Tool: "test", Stop: d.Spec.Stop}
	if o := r.look1(d.Name); o.Instance != nil {
		s.Instance = o.Instance.ID
	}
	if verb == spec.VerbStop || verb == spec.VerbRemove {
		s.Want = nil
	}
	return s
}

// apply does a step against what is there now.
func (r *rig) apply(verb spec.Verb, d *spec.Daemon) spec.Observed {
	r.Helper()
	if err := r.Apply(r.Context(), r.step(verb, d)); err != nil {
		r.Fatal(err)
	}
	return r.look1(d.Name)
}

// started starts d and returns what is there then.
func (r *rig) started(d *spec.Daemon) spec.Observed {
	r.Helper()
	o := r.apply(spec.VerbStart, d)
	if o.State != spec.Running || o.Instance == nil || o.Instance.PID == 0 {
		r.Fatalf("after the start it is %s: %s, instance %+v", o.State, o.Message, o.Instance)
	}
	return o
}

// printed waits until the daemon has printed text, and returns all that it has.
func (r *rig) printed(name, text string) string {
	r.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		log, err := os.ReadFile(filepath.Join(r.dirs.Log, name+".log"))
		if err != nil && !os.IsNotExist(err) {
			r.Fatal(err)
		}
		if strings.Contains(string(log), text) {
			return string(log)
		}
		if time.Now().After(deadline) {
			r.Fatalf("%q isn't in the log: %q", text, log)
		}
		time.Sleep(time.Millisecond)
	}
}

// groups lists the cgroups below the rig's.
func (r *rig) groups() (all []string) {
	r.Helper()
	top := r.sub.dir(r.group)
	err := filepath.WalkDir(top, func(path string, e os.DirEntry, err error) error {
		if err == nil && e.IsDir() && path != top {
			all = append(all, strings.TrimPrefix(path, top+"/"))
		}
		return err
	})
	if err != nil {
		r.Fatal(err)
	}
	return all
}

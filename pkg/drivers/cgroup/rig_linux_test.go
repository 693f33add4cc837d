package cgroup

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/drivers/process"
	"reconciler.dev/reconciler/pkg/spec"
)

// rig is a driver over directories of its own, which works below a cgroup of its own.
type rig struct {
	driverstest.Rig
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
	r := &rig{driverstest.Rig{TB: t, Driver: d, Logs: dirs.Log}, d, dirs, group, sub}
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
	return driverstest.Want(spec.DriverCgroup, name, binary, args...)
}

// shell is a daemon that is a shell script.
func shell(name, script string) *spec.Daemon { return want(name, "/bin/sh", "-c", script) }

// groups lists the cgroups below the rig's.
func (r *rig) groups() (all []string) {
	r.Helper()
	top := r.sub.dir(r.group)
	err := filepath.WalkDir(top, func(path string, e os.DirEntry, err error) error {
		if err == nil && e.IsDir() && path != top {
			all = append(all, strings.TrimPrefix(path, top+"/"))
		}
		if errors.Is(err, fs.ErrNotExist) && path != top {
			return nil // it has gone meanwhile
		}
		return err
	})
	if err != nil {
		r.Fatal(err)
	}
	return all
}

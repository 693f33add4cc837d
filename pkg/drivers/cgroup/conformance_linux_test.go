package cgroup

import (
	"fmt"
	"os"
	"path"
	"sync/atomic"
	"testing"

	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/internal/spawn"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
)

func TestMain(m *testing.M) {
	spawn.Main()
	os.Exit(m.Run())
}

var places atomic.Int64

// below makes a cgroup for one test.
func below(t testing.TB) string {
	t.Helper()
	sub, err := findSubtree("")
	if err != nil {
		t.Fatal(err)
	}
	rel := path.Join(sub.rel, fmt.Sprintf("test-%d-%d", os.Getpid(), places.Add(1)))
	dir := sub.dir(rel)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rmdir(dir); err != nil {
			t.Errorf("clean up %s: %v", dir, err)
		}
	})
	return rel
}

func TestConformance(t *testing.T) {
	driverstest.Run(t, func(t *testing.T) driverstest.Subject {
		dirs, group := layout.Under(t.TempDir()), below(t)
		if err := dirs.Make(); err != nil {
			t.Fatal(err)
		}
		open := func() drivers.Driver {
			d, err := New(Options{Dirs: dirs, Below: group})
			if err != nil {
				t.Fatal(err)
			}
			return drivers.Decorate(d, dirs)
		}
		return driverstest.Subject{
			Driver: open(), Reopen: open, Dirs: []string{dirs.State, dirs.Run, dirs.Log},
			Foreign: func(name string) error {
				sub, err := findSubtree(group)
				if err != nil {
					return err
				}
				return os.MkdirAll(sub.dir(path.Join(sub.rel, defaultSlice, name)), 0o755)
			},
		}
	})
}

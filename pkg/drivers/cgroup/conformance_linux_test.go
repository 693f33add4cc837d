package cgroup

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/internal/sockets"
	"reconciler.dev/reconciler/internal/spawn"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/test/labhost"
)

func TestMain(m *testing.M) {
	spawn.Main()
	if status, called := sockets.Main(context.Background(), os.Args, os.Stdout); called {
		os.Exit(status)
	}
	if driverstest.ToBeKilled() {
		beKilled()
	}
	labhost.Main(m)
}

// TestConformance: as root on a host without systemd, and as a user in what systemd delegated.
func TestConformance(t *testing.T) {
	for _, kind := range []labhost.Kind{labhost.Cgroup, labhost.Delegated} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			labhost.Test(t, kind, conformance)
		})
	}
}

func conformance(t *testing.T) {
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
			Enforces: enforced(t, group),
			Driver:   open(), Reopen: open, Dirs: []string{dirs.State, dirs.Run, dirs.Log},
		}
	})
}

// enforced are the limits that the kernel has here.
func enforced(t *testing.T, group string) (fields []string) {
	sub, err := findSubtree(group)
	if err != nil {
		t.Fatal(err)
	}
	have := words(sub.dir(group), "cgroup.controllers")
	for _, l := range limits() {
		if _, err := os.Stat(filepath.Join(sub.dir(group), l.file)); err == nil && slices.Contains(have, l.controller) {
			fields = append(fields, l.name())
		}
	}
	return fields
}

var (
	places atomic.Int64
	// hostSubtree is what is ours of the host.
	hostSubtree = sync.OnceValues(func() (*subtree, error) { return findSubtree("") })
)

// below makes a cgroup for one test, in the part of the hierarchy that is ours, with all the controllers that there are.
func below(t testing.TB) string {
	t.Helper()
	sub, err := hostSubtree()
	if err != nil {
		t.Fatal(err)
	}
	cs := controllers{sub: sub}
	for _, c := range words(sub.dir(sub.rel), "cgroup.controllers") {
		if cs.occupied(false) == "" {
			writeFile(filepath.Join(sub.dir(sub.rel), "cgroup.subtree_control"), "+"+c) // or not, and then it isn't there
		}
	}
	rel := path.Join(sub.rel, fmt.Sprintf("test-%d-%d", os.Getpid(), places.Add(1)))
	if err := os.Mkdir(sub.dir(rel), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := rmdir(sub.dir(rel)); err != nil {
			t.Errorf("clean up %s: %v", sub.dir(rel), err)
		}
	})
	return rel
}

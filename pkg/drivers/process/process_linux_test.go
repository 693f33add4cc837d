package process

import (
	"context"
	"os"
	"slices"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/internal/sockets"
	"reconciler.dev/reconciler/internal/spawn"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
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

// rig is a driver over directories of its own.
type rig struct {
	driverstest.Rig
	*Driver
}

// newRig returns a rig whose daemons are killed when the test ends.
func newRig(t testing.TB) *rig {
	t.Helper()
	r := rigOver(t, layout.Under(t.TempDir()))
	t.Cleanup(r.killAll)
	return r
}

// rigOver returns a rig over directories that others use, too.
func rigOver(t testing.TB, dirs layout.Dirs) *rig {
	t.Helper()
	d := newDriver(t, dirs)
	return &rig{driverstest.Rig{TB: t, Driver: d, Logs: dirs.Log}, d}
}

func newDriver(t testing.TB, dirs layout.Dirs) *Driver {
	t.Helper()
	d, err := New(Options{Dirs: dirs})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// another returns a second driver over the same directories, as another process would have one.
func (r *rig) another() *rig { return rigOver(r.TB, r.dirs) }

func (r *rig) killAll() {
	names, err := r.store.names()
	if err != nil {
		r.Error(err)
	}
	for _, name := range names {
		rec, err := r.store.read(name)
		if err != nil || rec == nil {
			continue
		}
		if rec.Intent != nil {
			r.kill(rec.Intent.Instance)
		}
		if rec.Instance != nil {
			r.kill(rec.Instance)
		}
	}
}

func (r *rig) kill(i *spec.Instance) {
	if err := r.killTree(context.Background(), Tree{ID: i.ID}); err != nil {
		r.Error(err)
	}
}

// want is a daemon that runs a program with arguments.
func want(name, binary string, args ...string) *spec.Daemon {
	return driverstest.Want(spec.DriverProcess, name, binary, args...)
}

// shell is a daemon that is a shell script.
func shell(name, script string) *spec.Daemon { return want(name, "/bin/sh", "-c", script) }

// members returns the living processes of an instance.
func (r *rig) members(i *spec.Instance) []procfs.Stat {
	r.Helper()
	living, err := r.living(Tree{ID: i.ID})
	if err != nil {
		r.Fatal(err)
	}
	return living
}

func itoa(n int) string { return strconv.Itoa(n) }

func TestLifeOfADaemon(t *testing.T) {
	r := newRig(t)
	d := want("web", "/bin/sleep", "1000")
	knows := func(want bool) {
		t.Helper()
		if known, err := r.another().Knows(t.Context(), "web"); err != nil || known[0] != want {
			t.Errorf("it is known: %v, %v, want %v", known, err, want)
		}
	}
	knows(false)
	if o := r.Look("web"); o.State != spec.Absent || o.Stamp != nil || o.Instance != nil {
		t.Fatalf("before the start: %+v", o)
	}
	o := r.Start(d)
	i := o.Instance
	if o.Stamp.Digest != d.Digest || o.Stamp.Owner.Set != "test" || i.SpecDigest != d.Digest || i.Generation != 1 || i.BootID == "" || i.StartTicks == 0 {
		t.Errorf("started: stamp %+v, instance %+v", o.Stamp, i)
	}
	st, err := procfs.ReadStat(i.PID)
	if err != nil || st.Session != i.PID || st.PGRP != i.PID || st.Start != i.StartTicks {
		t.Errorf("its process: %+v, %v", st, err)
	}
	r.Do(spec.VerbStart, d) // again
	if again := r.Look("web"); again.Instance.ID != i.ID {
		t.Error("a second start made a second instance")
	}
	r.Do(spec.VerbStop, d)
	o = r.Look("web")
	if o.State != spec.Exited || o.Instance.Exit == nil || !o.Instance.Exit.Asked || o.Instance.Exit.Signal != "SIGTERM" {
		t.Errorf("after the stop: %s, %+v", o.State, o.Instance.Exit)
	}
	if err := unix.Kill(i.PID, 0); err == nil {
		t.Error("its process is still there, or wasn't reaped")
	}
	r.Do(spec.VerbStop, d)
	knows(true)
	r.Do(spec.VerbRemove, d)
	r.Do(spec.VerbRemove, d)
	knows(false)
	if o := r.Look("web"); o.State != spec.Absent || o.Stamp != nil {
		t.Errorf("after the removal: %+v", o)
	}
}

func TestPIDsNamesTheWholeTree(t *testing.T) {
	r := newRig(t)
	if got, err := r.PIDs(t.Context(), "web"); err != nil || len(got) != 0 {
		t.Errorf("before the start: %v, %v", got, err)
	}
	d := shell("web", `setsid sleep 1000 & (setsid sh -c 'echo ready; exec sleep 1000' &); exec sleep 1000`)
	o := r.Start(d)
	r.Says("web", "ready")
	var want []int
	for _, p := range r.members(o.Instance) {
		want = append(want, p.PID)
	}
	got, err := r.another().PIDs(t.Context(), "web")
	slices.Sort(got)
	if err != nil || len(want) < 3 || !slices.Contains(got, o.Instance.PID) || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	r.Do(spec.VerbStop, d)
	if got, err := r.PIDs(t.Context(), "web"); err != nil || len(got) != 0 {
		t.Errorf("after the stop: %v, %v", got, err)
	}
}

package process

import (
	"context"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/internal/spawn"
	"reconciler.dev/reconciler/pkg/spec"
	"reconciler.dev/reconciler/test/labhost"
)

func TestMain(m *testing.M) {
	spawn.Main()
	if os.Getenv(childDir) != "" {
		beChild()
	}
	labhost.Main(m)
}

// rig is a driver over directories of its own.
type rig struct {
	testing.TB
	*Driver
}

// newRig returns a rig whose daemons are killed when the test ends.
func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t, newDriver(t, layout.Under(t.TempDir()))}
	t.Cleanup(r.killAll)
	return r
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
func (r *rig) another() *rig { return &rig{r.TB, newDriver(r.TB, r.dirs)} }

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
	d := &spec.Daemon{
		Metadata: spec.Metadata{Name: name}, Digest: "sha256:" + name,
		Spec: spec.Spec{Driver: spec.DriverProcess, Binary: binary, Args: args, Stop: spec.Stop{GracePeriod: spec.Duration(5 * time.Second)}},
	}
	spec.Defaults(&d.Spec)
	return d
}

// shell is a daemon that is a shell script.
func shell(name, script string) *spec.Daemon { return want(name, "/bin/sh", "-c", script) }

// look1 looks at one daemon.
func (r *rig) look1(name string) spec.Observed {
	r.Helper()
	o, err := r.Observe(r.Context(), name)
	if err != nil {
		r.Fatal(err)
	}
	return o[0]
}

// until looks until met is true.
func (r *rig) until(name string, met func(spec.Observed) bool) spec.Observed {
	r.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
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
func (r *rig) apply(verb spec.Verb, d *spec.Daemon) {
	r.Helper()
	if err := r.Apply(r.Context(), r.step(verb, d)); err != nil {
		r.Fatal(err)
	}
}

// started starts d and returns what is there then.
func (r *rig) started(d *spec.Daemon) spec.Observed {
	r.Helper()
	r.apply(spec.VerbStart, d)
	o := r.look1(d.Name)
	if o.State != spec.Running || o.Instance == nil || o.Instance.PID == 0 {
		r.Fatalf("after the start it is %s: %s, instance %+v", o.State, o.Message, o.Instance)
	}
	return o
}

// log returns what the daemon has printed.
func (r *rig) log(name string) string {
	data, err := os.ReadFile(r.dirs.Log + "/" + name + ".log")
	if err != nil && !os.IsNotExist(err) {
		r.Fatal(err)
	}
	return string(data)
}

// printed waits until the daemon has printed text.
func (r *rig) printed(name, text string) string {
	r.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		if log := r.log(name); strings.Contains(log, text) {
			return log
		}
		if time.Now().After(deadline) {
			r.Fatalf("%q isn't in the log: %q", text, r.log(name))
		}
		time.Sleep(time.Millisecond)
	}
}

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
		if known, err := r.another().Knows(t.Context(), "web"); known != want || err != nil {
			t.Errorf("it is known: %v, %v, want %v", known, err, want)
		}
	}
	knows(false)
	if o := r.look1("web"); o.State != spec.Absent || o.Stamp != nil || o.Instance != nil {
		t.Fatalf("before the start: %+v", o)
	}
	o := r.started(d)
	i := o.Instance
	if o.Stamp.Digest != d.Digest || o.Stamp.Owner.Set != "test" || i.SpecDigest != d.Digest || i.Generation != 1 || i.BootID == "" || i.StartTicks == 0 {
		t.Errorf("started: stamp %+v, instance %+v", o.Stamp, i)
	}
	st, err := procfs.ReadStat(i.PID)
	if err != nil || st.Session != i.PID || st.PGRP != i.PID || st.Start != i.StartTicks {
		t.Errorf("its process: %+v, %v", st, err)
	}
	r.apply(spec.VerbStart, d) // again
	if again := r.look1("web"); again.Instance.ID != i.ID {
		t.Error("a second start made a second instance")
	}
	r.apply(spec.VerbStop, d)
	o = r.look1("web")
	if o.State != spec.Exited || o.Instance.Exit == nil || !o.Instance.Exit.Asked || o.Instance.Exit.Signal != "SIGTERM" {
		t.Errorf("after the stop: %s, %+v", o.State, o.Instance.Exit)
	}
	if err := unix.Kill(i.PID, 0); err == nil {
		t.Error("its process is still there, or wasn't reaped")
	}
	r.apply(spec.VerbStop, d)
	knows(true)
	r.apply(spec.VerbRemove, d)
	r.apply(spec.VerbRemove, d)
	knows(false)
	if o := r.look1("web"); o.State != spec.Absent || o.Stamp != nil {
		t.Errorf("after the removal: %+v", o)
	}
}

func TestPIDsNamesTheWholeTree(t *testing.T) {
	r := newRig(t)
	if got, err := r.PIDs(t.Context(), "web"); err != nil || len(got) != 0 {
		t.Errorf("before the start: %v, %v", got, err)
	}
	d := shell("web", `setsid sleep 1000 & (setsid sh -c 'echo ready; exec sleep 1000' &); exec sleep 1000`)
	o := r.started(d)
	r.printed("web", "ready")
	var want []int
	for _, p := range r.members(o.Instance) {
		want = append(want, p.PID)
	}
	got, err := r.another().PIDs(t.Context(), "web")
	slices.Sort(got)
	if err != nil || len(want) < 3 || !slices.Contains(got, o.Instance.PID) || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	r.apply(spec.VerbStop, d)
	if got, err := r.PIDs(t.Context(), "web"); err != nil || len(got) != 0 {
		t.Errorf("after the stop: %v, %v", got, err)
	}
}

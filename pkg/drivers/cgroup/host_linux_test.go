package cgroup

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/drivers/process"
	"reconciler.dev/reconciler/pkg/spec"
	"reconciler.dev/reconciler/test/labhost"
)

// TestOnAHost: what leaves do, on one host whose cgroups have no controllers on the machines that have those on v1.
func TestOnAHost(t *testing.T) {
	tests := map[string]func(*testing.T){
		"a leaf from the first instant to the last":              leafLives,
		"slice, service and instance":                            places3,
		"groups that aren't ours stay":                           foreignParentsStay,
		"two daemons of one place":                               onePlace,
		"a leaf has nothing in it but its daemon":                leafInLeaf,
		"a group without our mark":                               unmarked,
		"another reconciler's leaf":                              otherReconciler,
		"a lost record is made again":                            lostRecord,
		"a lost record and no process":                           lostRecordAndProcess,
		"a stop ends the whole tree":                             wholeTree,
		"groups that the daemon made":                            subgroupsOfADaemon,
		"a daemon that multiplies":                               multiplies,
		"a daemon that goes into the background":                 background,
		"what a killed daemon leaves, until it is gone":          strays,
		"a restart begins with a new leaf":                       newLeaf,
		"others see neither environment nor mark":                hidden,
		"a start that fails leaves nothing":                      failedStart,
		"leftovers are swept":                                    sweep,
		"a damaged place leads no signal astray":                 damagedPlace,
		"limits without controllers":                             withoutControllers,
		"a daemon with a spec too large for a mark":              largeSpec,
		"a leaf in a subtree that is somebody else's is managed": elsewhere,
		"a daemon that was moved out of its leaf":                movedAway,
		"what is told to a user without cgroups helps":           remedyHelps,
	}
	labhost.Test(t, labhost.Cgroup, func(t *testing.T) {
		for name, test := range tests {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t)
			})
		}
	})
}

// procs are the processes in a group of the rig's.
func (r *rig) procs(place string) []int {
	r.Helper()
	pids, err := procsIn(filepath.Join(r.sub.dir(r.group), place))
	if err != nil {
		r.Fatal(err)
	}
	return pids
}

func (r *rig) wantGroups(want ...string) {
	r.Helper()
	if diff := cmp.Diff(want, r.groups()); diff != "" {
		r.Errorf("groups (-want +have):\n%s", diff)
	}
}

func leafLives(t *testing.T) {
	r := fresh(t)
	d := want("web", "/bin/sleep", "1000")
	o := r.Start(d)
	if o.Cgroup != r.group+"/reconciler.slice/web" || o.Driver != spec.DriverCgroup {
		t.Errorf("it is in %s, driver %s", o.Cgroup, o.Driver)
	}
	if got := r.procs("reconciler.slice/web"); !slices.Equal(got, []int{o.Instance.PID}) {
		t.Errorf("in the leaf are %v, and the daemon is %d", got, o.Instance.PID)
	}
	fi, err := os.Stat(r.sub.dir(o.Cgroup))
	if err != nil || fi.Mode().Perm() != ownerOnly {
		t.Errorf("the leaf: %v, %v", fi.Mode(), err)
	}
	if pids, err := r.another().PIDs(t.Context(), "web"); err != nil || !slices.Equal(pids, []int{o.Instance.PID}) {
		t.Errorf("its processes are %v, %v", pids, err)
	}
	r.Do(spec.VerbStop, d)
	r.wantGroups()
	r.Do(spec.VerbRemove, d)
	if o := r.Look("web"); o.State != spec.Absent || o.Cgroup != "" {
		t.Errorf("after the removal: %+v", o)
	}
}

func places3(t *testing.T) {
	r := fresh(t)
	for name, c := range map[string]struct {
		place *spec.Cgroup
		want  string
	}{
		"a": {&spec.Cgroup{Slice: "rbee-gpu.slice", Service: "worker", Instance: "0"}, "rbee.slice/rbee-gpu.slice/worker/0"},
		"b": {&spec.Cgroup{Slice: "rbee-gpu.slice", Service: "worker", Instance: "1"}, "rbee.slice/rbee-gpu.slice/worker/1"},
		"c": {&spec.Cgroup{Slice: "rbee"}, "rbee.slice/c"},
		"d": {&spec.Cgroup{Service: "memory.max"}, "reconciler.slice/_memory.max"},
	} {
		d := want(name, "/bin/sleep", "1000")
		d.Spec.Cgroup = c.place
		if o := r.Start(d); o.Cgroup != path.Join(r.group, c.want) || len(r.procs(c.want)) != 1 {
			t.Errorf("%s is in %s, want %s", name, o.Cgroup, c.want)
		}
		defer func() { r.Do(spec.VerbStop, d) }()
	}
	d := want("b", "/bin/sleep", "1000")
	d.Spec.Cgroup = &spec.Cgroup{Slice: "rbee-gpu.slice", Service: "worker", Instance: "1"}
	r.Do(spec.VerbStop, d)
	if groups := r.groups(); !slices.Contains(groups, "rbee.slice/rbee-gpu.slice/worker/0") || slices.Contains(groups, "rbee.slice/rbee-gpu.slice/worker/1") {
		t.Errorf("after a stop of one there are %q", groups)
	}
}

// foreignParentsStay: a slice that somebody made, perhaps with limits of its own, is used and stays.
func foreignParentsStay(t *testing.T) {
	r := fresh(t)
	if err := os.Mkdir(filepath.Join(r.sub.dir(r.group), "rbee.slice"), 0o755); err != nil {
		t.Fatal(err)
	}
	d := want("web", "/bin/sleep", "1000")
	d.Spec.Cgroup = &spec.Cgroup{Slice: "rbee-gpu"}
	r.Start(d)
	r.Do(spec.VerbStop, d)
	r.wantGroups("rbee.slice")
}

func onePlace(t *testing.T) {
	r := fresh(t)
	first, second := want("web", "/bin/sleep", "1000"), want("api", "/bin/sleep", "1000")
	first.Spec.Cgroup = &spec.Cgroup{Service: "worker", Instance: "0"}
	second.Spec.Cgroup = first.Spec.Cgroup
	i := r.Start(first).Instance
	if err := r.Apply(t.Context(), r.Step(spec.VerbStart, second)); !errors.Is(err, drivers.ErrConflict) || !strings.Contains(err.Error(), "of daemon web") {
		t.Errorf("got %v", err)
	}
	if _, err := r.Check(t.Context(), second); !errors.Is(err, drivers.ErrConflict) {
		t.Errorf("a check: %v", err)
	}
	if o := r.Look("api"); o.State != spec.Absent {
		t.Errorf("api is %s", o.State)
	}
	if o := r.Look("web"); o.State != spec.Running || o.Instance.ID != i.ID {
		t.Errorf("web is %s", o.State)
	}
}

func leafInLeaf(t *testing.T) {
	r := fresh(t)
	outer, inner := want("outer", "/bin/sleep", "1000"), want("inner", "/bin/sleep", "1000")
	outer.Spec.Cgroup, inner.Spec.Cgroup = &spec.Cgroup{Service: "x"}, &spec.Cgroup{Service: "x", Instance: "y"}
	for _, d := range []*spec.Daemon{outer, inner} {
		r.Start(d)
		for _, other := range []*spec.Daemon{outer, inner} {
			if err := r.Apply(t.Context(), r.Step(spec.VerbStart, other)); other != d && !errors.Is(err, drivers.ErrConflict) {
				t.Errorf("%s beside %s: %v", other.Name, d.Name, err)
			}
		}
		r.Do(spec.VerbStop, d)
		r.Do(spec.VerbRemove, d)
	}
	r.wantGroups()
}

func unmarked(t *testing.T) {
	r := fresh(t)
	dir := filepath.Join(r.sub.dir(r.group), "reconciler.slice/web")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	stranger := exec.Command("/bin/sleep", "1000")
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	stranger.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: fd}
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	d := want("web", "/bin/sleep", "1000")
	if _, err := r.Check(t.Context(), d); !errors.Is(err, drivers.ErrConflict) || !strings.Contains(err.Error(), dir+" is there: it isn't marked as ours") {
		t.Errorf("a check: %v", err)
	}
	for _, verb := range []spec.Verb{spec.VerbStart, spec.VerbStop, spec.VerbRemove} {
		if err := r.Apply(t.Context(), r.Step(verb, d)); verb == spec.VerbStart && !errors.Is(err, drivers.ErrConflict) || verb != spec.VerbStart && err != nil {
			t.Errorf("%s: %v", verb, err)
		}
	}
	if got := r.procs("reconciler.slice/web"); !slices.Equal(got, []int{stranger.Process.Pid}) {
		t.Errorf("in its group are %v, and it was %d", got, stranger.Process.Pid)
	}
	stranger.Process.Kill()
	stranger.Wait()
	r.wantGroups("reconciler.slice", "reconciler.slice/web")
}

func otherReconciler(t *testing.T) {
	r := fresh(t)
	d := want("web", "/bin/sleep", "1000")
	i := r.Start(d).Instance
	other := newRig(t, layout.Under(t.TempDir()), r.group)
	if names, err := other.List(t.Context()); err != nil || len(names) > 0 {
		t.Errorf("it lists %v, %v", names, err)
	}
	if o := other.Look("web"); o.State != spec.Absent || o.Foreign != "" {
		t.Errorf("it is %s, foreign %q", o.State, o.Foreign)
	}
	if _, err := other.Check(t.Context(), d); !errors.Is(err, drivers.ErrConflict) || !strings.Contains(err.Error(), "another reconciler, which keeps "+r.dirs.Run) {
		t.Errorf("a check: %v", err)
	}
	if err := other.Apply(t.Context(), other.Step(spec.VerbStart, d)); !errors.Is(err, drivers.ErrConflict) {
		t.Errorf("got %v", err)
	}
	if o := r.Look("web"); o.State != spec.Running || o.Instance.ID != i.ID {
		t.Errorf("it is %s", o.State)
	}
}

// lostRecord: a daemon whose record is gone, or all of the state, is the same daemon to everybody.
func lostRecord(t *testing.T) {
	for name, use := range map[string]func(*rig, *spec.Daemon, *spec.Instance){
		"list": func(r *rig, _ *spec.Daemon, _ *spec.Instance) {
			if names, err := r.List(t.Context()); err != nil || !slices.Equal(names, []string{"web"}) {
				t.Errorf("it lists %v, %v", names, err)
			}
		},
		"processes": func(r *rig, _ *spec.Daemon, i *spec.Instance) {
			if pids, err := r.PIDs(t.Context(), "web"); err != nil || !slices.Contains(pids, i.PID) || len(pids) != 2 {
				t.Errorf("its processes are %v, %v", pids, err)
			}
		},
		"start": func(r *rig, d *spec.Daemon, i *spec.Instance) {
			if o := r.Do(spec.VerbStart, d); o.Instance.ID != i.ID {
				t.Errorf("a start made instance %s of %s", o.Instance.ID, i.ID)
			}
		},
		"a start that was planned against nothing": func(r *rig, d *spec.Daemon, i *spec.Instance) {
			s := r.Step(spec.VerbStart, d)
			r.forget()
			s.Instance = ""
			if err := r.Apply(t.Context(), s); !errors.Is(err, drivers.ErrMoved) || len(r.procs("reconciler.slice/web")) != 2 {
				t.Errorf("got %v", err)
			}
		},
		"stop": func(r *rig, d *spec.Daemon, _ *spec.Instance) {
			if o := r.Do(spec.VerbStop, d); o.State != spec.Exited || !o.Instance.Exit.Asked {
				t.Errorf("it is %s: %+v", o.State, o.Instance)
			}
			r.wantGroups()
		},
		"stamp": func(r *rig, d *spec.Daemon, i *spec.Instance) {
			s := r.Step(spec.VerbStamp, d)
			r.forget()
			s.Generation = 2
			if err := r.Apply(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			r.forget()
			if o := r.Look("web"); o.Stamp.Generation != 2 || o.Instance.Generation != 1 || o.Instance.PID != i.PID {
				t.Errorf("it is %+v, instance %+v", o.Stamp, o.Instance)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := fresh(t)
			d := shell("web", "sleep 1000 & exec sleep 1000")
			d.Labels = map[string]string{"app": "web"}
			before := r.Start(d)
			r.Until("web", func(spec.Observed) bool { return len(r.procs("reconciler.slice/web")) == 2 })
			r.forget()
			r = r.another()
			use(r, d, before.Instance)
			if name == "stop" {
				return
			}
			o := r.Look("web")
			if o.State != spec.Running || o.Instance.PID != before.Instance.PID || o.Instance.StartTicks != before.Instance.StartTicks || o.Instance.ID != before.Instance.ID {
				t.Errorf("it is %s (%s): %+v", o.State, o.Message, o.Instance)
			}
			if diff := cmp.Diff(before.Stamp.Spec, o.Stamp.Spec); diff != "" || o.Stamp.Digest != d.Digest || o.Stamp.Labels["app"] != "web" {
				t.Errorf("its stamp (-before +after):\n%s", diff)
			}
			if _, err := os.Stat(filepath.Join(r.dirs.Run, "cgroup", "web.json")); err != nil {
				t.Errorf("no record was made: %v", err)
			}
			r.Do(spec.VerbStop, d)
			r.wantGroups()
		})
	}
}

// forget loses all records.
func (r *rig) forget() {
	r.Helper()
	if err := os.RemoveAll(r.dirs.Run); err != nil {
		r.Fatal(err)
	}
}

func lostRecordAndProcess(t *testing.T) {
	r := fresh(t)
	d := want("web", "/bin/sleep", "1000")
	i := r.Start(d).Instance
	unix.Kill(i.PID, unix.SIGKILL)
	r.Until("web", func(spec.Observed) bool { return len(r.procs("reconciler.slice/web")) == 0 })
	r.forget()
	if o := r.Look("web"); o.State != spec.Exited || o.Stamp.Digest != d.Digest {
		t.Errorf("it is %s", o.State)
	}
	if next := r.Start(d); next.Instance.ID == i.ID {
		t.Error("it is the instance that ended")
	}
	r.Do(spec.VerbStop, d)
	r.Do(spec.VerbRemove, d)
	r.wantGroups()
	if names, err := r.List(t.Context()); err != nil || len(names) > 0 {
		t.Errorf("left is %v, %v", names, err)
	}
}

// wholeTree: children everywhere: in its process group, in a session of their own, and orphaned; and one that lost its tag.
func wholeTree(t *testing.T) {
	r := fresh(t)
	d := shell("web", `trap '' TERM; sleep 1000 & setsid sh -c 'sleep 1000; sleep 1000' & (sleep 1000 & setsid sleep 1000 &); sleep 1000 & echo last $!; sleep 1000; sleep 1000`)
	d.Spec.Stop.GracePeriod = spec.Duration(100 * time.Millisecond)
	r.Start(d)
	_, last, _ := strings.Cut(r.Says("web", "last"), " ")
	pid, err := strconv.Atoi(strings.TrimSpace(last))
	if err == nil {
		err = unix.Prlimit(pid, 10, &unix.Rlimit{}, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	pids := r.procs("reconciler.slice/web")
	if len(pids) < 6 {
		t.Fatalf("the tree has %d processes", len(pids))
	}
	o := r.Do(spec.VerbStop, d)
	if e := o.Instance.Exit; e == nil || e.Signal != "SIGKILL" || !e.Asked {
		t.Errorf("exit %+v", e)
	}
	for _, pid := range pids {
		if st, err := procfs.ReadStat(pid); err == nil && !st.Dead() {
			t.Errorf("process %d lives", pid)
		}
	}
	r.wantGroups()
}

// subgroupsOfADaemon: who makes groups in its own leaf, as programs do that run containers, is stopped whole, and they are removed.
func subgroupsOfADaemon(t *testing.T) {
	r := fresh(t)
	leaf := filepath.Join(r.sub.dir(r.group), "reconciler.slice/web")
	d := shell("web", fmt.Sprintf(`mkdir -p %[1]s/a/b %[1]s/c && sh -c 'echo $$ > %[1]s/a/b/cgroup.procs; exec setsid sleep 1000' & sleep 0.1; echo $$ > %[1]s/c/cgroup.procs; trap '' TERM; echo ready; while :; do sleep 1000; done`, leaf))
	d.Spec.Stop.GracePeriod = spec.Duration(100 * time.Millisecond)
	i := r.Start(d).Instance
	r.Says("web", "ready")
	if pids, err := r.PIDs(t.Context(), "web"); err != nil || !slices.Contains(pids, i.PID) || len(pids) < 3 {
		t.Errorf("its processes are %v, %v", pids, err)
	}
	r.forget()
	if o := r.Look("web"); o.State != spec.Running || o.Instance.PID != i.PID {
		t.Errorf("without its record it is %s: %+v", o.State, o.Instance)
	}
	r.Do(spec.VerbStop, d)
	r.wantGroups()
}

// multiplies: a daemon that makes processes faster than anybody can list them goes at a stroke.
func multiplies(t *testing.T) {
	r := fresh(t)
	program := filepath.Join(t.TempDir(), "program")
	script := "#!/bin/sh\ntrap '' TERM\nif [ $(wc -l < " + r.sub.dir(r.group) + "/reconciler.slice/web/cgroup.procs) -lt 200 ]; then \"$0\" & \"$0\" & fi\nsleep 1000\n"
	if err := os.WriteFile(program, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	d := want("web", program)
	d.Spec.Stop.GracePeriod = 0
	r.Start(d)
	r.Until("web", func(spec.Observed) bool { return len(r.procs("reconciler.slice/web")) > 50 })
	r.Do(spec.VerbStop, d)
	r.wantGroups()
}

func background(t *testing.T) {
	r := fresh(t)
	d := shell("web", `setsid sh -c 'echo ready; exec sleep 1000' & sleep 0.05; exit 0`)
	d.Spec.Type = spec.TypeForking
	first := r.Start(d).Instance
	r.Says("web", "ready")
	o := r.Until("web", func(o spec.Observed) bool { return o.Instance.PID != first.PID })
	if o.State != spec.Running || o.Instance.ID != first.ID || o.Instance.Exit != nil || len(o.Lost) > 0 {
		t.Errorf("it is %s: %+v, lost %v", o.State, o.Instance, o.Lost)
	}
	r.Do(spec.VerbStop, d)
	r.wantGroups()
}

// strays: the leaf stays as long as a process is in it, and whoever watches hears of its end.
func strays(t *testing.T) {
	r := fresh(t)
	d := shell("web", `sleep 1000 & echo ready $!; exec sleep 1000`)
	i := r.Start(d).Instance
	_, child, _ := strings.Cut(r.Says("web", "ready"), " ")
	pid, err := strconv.Atoi(strings.TrimSpace(child))
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 100)
	go r.Watch(t.Context(), func(name string) { heard <- name })
	for name := range heard {
		if name == "" {
			break
		}
	}
	unix.Kill(i.PID, unix.SIGKILL)
	o := r.Until("web", func(o spec.Observed) bool { return o.State == spec.Exited && o.Message != "" })
	if o.Instance.Exit.Signal != "SIGKILL" || !strings.Contains(o.Message, fmt.Sprint(pid)) {
		t.Errorf("%q, exit %+v", o.Message, o.Instance.Exit)
	}
	unix.Kill(pid, unix.SIGKILL)
	deadline := time.After(time.Minute)
	for len(r.groups()) > 0 { // the call that tells of the main process's end may come as late as now
		select {
		case name := <-heard:
			if name != "web" {
				t.Errorf("heard of %q", name)
			}
		case <-deadline:
			t.Fatal("nobody told that the last process is gone")
		}
	}
}

func newLeaf(t *testing.T) {
	r := fresh(t)
	d := want("web", "/bin/sleep", "1000")
	o := r.Start(d)
	inode := func() uint64 {
		var st unix.Stat_t
		if err := unix.Stat(r.sub.dir(o.Cgroup), &st); err != nil {
			t.Fatal(err)
		}
		return st.Ino
	}
	before := inode()
	unix.Kill(o.Instance.PID, unix.SIGKILL)
	r.Until("web", driverstest.Is(spec.Exited))
	if next := r.Start(d); next.Instance.ID == o.Instance.ID || inode() == before {
		t.Errorf("instance %s is in the leaf of instance %s", next.Instance.ID, o.Instance.ID)
	}
}

// hidden: a mark says what is in a daemon's environment, and a daemon of another user's must find its own limits all the same.
func hidden(t *testing.T) {
	r := fresh(t)
	value := "nobody's business"
	leaf := filepath.Join(r.sub.dir(r.group), "reconciler.slice/web")
	d := shell("web", "cat "+leaf+"/cgroup.procs && ls "+leaf+"; echo done; exec sleep 1000")
	d.Spec.User, d.Spec.Env = "nobody", map[string]spec.EnvVar{"KEY": {Value: &value}}
	i := r.Start(d).Instance
	if log := r.Says("web", "done"); !strings.HasPrefix(log, fmt.Sprint(i.PID)) || !strings.Contains(log, "ermission denied") {
		t.Errorf("the daemon sees %q", log)
	}
	out, err := exec.Command("setpriv", "--reuid", "nobody", "--clear-groups", "getfattr", "-d", leaf).CombinedOutput()
	if strings.Contains(string(out), value) {
		t.Errorf("others see %s, %v", out, err)
	}
}

func failedStart(t *testing.T) {
	r := fresh(t)
	d := want("web", "/does/not/exist")
	if err := r.Apply(t.Context(), r.Step(spec.VerbStart, d)); !errors.Is(err, drivers.ErrPermanent) {
		t.Errorf("got %v", err)
	}
	r.wantGroups()
	if o := r.Look("web"); o.State != spec.Absent {
		t.Errorf("it is %s", o.State)
	}
}

// sweep: a daemon that ended while nobody looked leaves its leaf to the next who does.
func sweep(t *testing.T) {
	r := fresh(t)
	d := want("web", "/bin/sleep", "0.05")
	i := r.Start(d).Instance
	r.Until("web", driverstest.Is(spec.Exited))
	for range 3 {
		if _, err := r.Housekeep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	r.wantGroups()
	if o := r.Look("web"); o.State != spec.Exited || o.Instance.ID != i.ID || o.Instance.Exit == nil {
		t.Errorf("it is %s: %+v", o.State, o.Instance)
	}
	r.Start(d)
}

func damagedPlace(t *testing.T) {
	r := fresh(t)
	stranger := exec.Command("/bin/sleep", "1000")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	d := want("web", "/bin/sleep", "1000")
	r.Start(d)
	for _, place := range []string{"/", "/..", "", "reconciler.slice/web", "/test"} {
		if _, err := (&trees{sub: r.sub, run: r.dirs.Run}).leafOf(process.Tree{Name: "web", ID: "x", Place: place}); err == nil && place != "" {
			t.Errorf("%q is taken for a leaf", place)
		}
	}
	if err := stranger.Process.Kill(); err != nil {
		t.Error("the stranger was killed")
	}
	stranger.Wait()
}

func withoutControllers(t *testing.T) {
	r := fresh(t)
	if len(words(r.sub.dir(r.group), "cgroup.controllers")) > 0 {
		t.Log("this machine has controllers: see TestLimits")
		return
	}
	d := want("web", "/bin/sleep", "1000")
	d.Spec.Cgroup = &spec.Cgroup{CPULimit: 500, MemoryLimit: 1 << 30, PidsLimit: 10, IOWeight: 50}
	lost, err := r.Check(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	o := r.Start(d)
	if diff := cmp.Diff(lost, o.Lost); diff != "" {
		t.Errorf("what is lost (-before the start +after):\n%s", diff)
	}
	var fields []string
	for _, l := range o.Lost {
		fields = append(fields, l.Field)
		if !strings.Contains(l.Reason, "controller in "+r.sub.dir(r.group)+": it ") {
			t.Errorf("%s: %s", l.Field, l.Reason)
		}
	}
	if want := []string{"spec.cgroup.cpuLimit", "spec.cgroup.memoryLimit", "spec.cgroup.pidsLimit", "spec.cgroup.ioWeight"}; !slices.Equal(fields, want) || len(o.Limits) > 0 || len(o.Drift) > 0 {
		t.Errorf("lost %v, limits %v, drift %v", fields, o.Limits, o.Drift)
	}
	r.Do(spec.VerbStop, d)
	d.Spec.Cgroup.Required = true
	err = r.Apply(t.Context(), r.Step(spec.VerbStart, d))
	if !errors.Is(err, drivers.ErrUnsupported) || slices.ContainsFunc(fields, func(f string) bool { return !strings.Contains(err.Error(), f) }) {
		t.Errorf("required: %v", err)
	}
}

// largeSpec: of what an attribute can't hold, enough is kept to find the daemon again.
func largeSpec(t *testing.T) {
	r := fresh(t)
	value := strings.Repeat("x", 80<<10)
	d := want("web", "/bin/sleep", "1000")
	d.Spec.Env = map[string]spec.EnvVar{"LARGE": {Value: &value}}
	i := r.Start(d).Instance
	r.forget()
	o := r.Look("web")
	if o.State != spec.Running || o.Instance.ID != i.ID || o.Stamp.Digest != d.Digest || o.Stamp.Owner.Set != "test" {
		t.Errorf("it is %s: %+v", o.State, o)
	}
	r.Do(spec.VerbStop, d)
	r.wantGroups()
}

// elsewhere: a daemon that was started from another part of the hierarchy, as from another session, is looked at and stopped from here.
func elsewhere(t *testing.T) {
	r := fresh(t)
	d := want("web", "/bin/sleep", "1000")
	i := r.Start(d).Instance
	here := newRig(t, r.dirs, below(t))
	if o := here.Look("web"); o.State != spec.Running || o.Instance.PID != i.PID || !strings.HasPrefix(o.Cgroup, r.group) {
		t.Errorf("it is %s in %s: %+v", o.State, o.Cgroup, o.Instance)
	}
	here.Do(spec.VerbStop, d)
	r.wantGroups()
	if o := here.Start(d); !strings.HasPrefix(o.Cgroup, here.group) {
		t.Errorf("it is in %s", o.Cgroup)
	}
	here.Do(spec.VerbStop, d)
	here.wantGroups()
}

// movedAway: somebody moves the main process into another group. That is seen, and a stop ends it all the same.
func movedAway(t *testing.T) {
	r := fresh(t)
	d := shell("web", `trap '' TERM; echo ready; while :; do sleep 0.01; done`)
	d.Spec.Stop.GracePeriod = spec.Duration(50 * time.Millisecond)
	o := r.Start(d)
	r.Says("web", "ready")
	other := filepath.Join(r.sub.dir(r.group), "other")
	if err := os.Mkdir(other, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(filepath.Join(other, "cgroup.procs"), strconv.Itoa(o.Instance.PID)); err != nil {
		t.Fatal(err)
	}
	want := []spec.Drift{{Field: "spec.cgroup", Want: o.Cgroup, Have: r.group + "/other", Class: spec.Restarted}}
	o = r.Look("web")
	if diff := cmp.Diff(want, o.Drift); diff != "" || o.State != spec.Running {
		t.Errorf("it is %s, drift (-want +have):\n%s", o.State, diff)
	}
	r.Do(spec.VerbStop, d)
	if st, err := procfs.ReadStat(o.Instance.PID); err == nil && !st.Dead() {
		t.Errorf("its process lives: %+v", st)
	}
	r.Until("web", func(spec.Observed) bool { return len(r.procs("other")) == 0 })
	r.wantGroups("other")
}

// remedyHelps does what a user is told that root must do, and then starts a daemon as that user.
func remedyHelps(t *testing.T) {
	const uid = 65533
	m, err := thisMachine()
	if err != nil {
		t.Fatal(err)
	}
	m.uid, m.writable = uid, func(string) error { return unix.EACCES }
	_, err = m.find()
	var lack *drivers.Unavailable
	if !errors.As(err, &lack) {
		t.Fatalf("got %v", err)
	}
	asRoot, _, _ := strings.Cut(strings.TrimPrefix(lack.Remedy, "as root: "), "; then")
	if out, err := exec.Command("/bin/sh", "-ec", asRoot).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", asRoot, err, out)
	}
	sub, err := hostSubtree()
	if err != nil {
		t.Fatal(err)
	}
	top := t.TempDir()
	for dir := top; dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	child := other("Start Where Stop Start", top, "")
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	fd, err := unix.Open(sub.dir("/user-65533/shell"), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	child.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: fd, Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	if err := child.Run(); err != nil {
		t.Fatal(err)
	}
	pids, err := procsIn(sub.dir("/user-65533/a.slice/a-b.slice/c/d"))
	if err != nil || len(pids) == 0 {
		t.Errorf("in its leaf are %v, %v", pids, err)
	}
	if err := writeFile(sub.dir("/user-65533")+"/cgroup.kill", "1"); err != nil {
		t.Error(err)
	}
}

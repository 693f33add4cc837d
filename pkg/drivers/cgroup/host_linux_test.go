package cgroup

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
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

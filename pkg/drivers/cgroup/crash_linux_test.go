package cgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/failpoint"
	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
	"reconciler.dev/reconciler/test/labhost"
)

// The variables that make this program the other process of a test: the directory to work in, the group to work below, and the verbs to apply to the daemon web.
const (
	childDir   = "CGROUP_TEST_DIR"
	childGroup = "CGROUP_TEST_GROUP"
	childVerbs = "CGROUP_TEST_VERBS"
)

// crasher is a daemon with a child.
func crasher() *spec.Daemon {
	d := shell("web", `sleep 1000 & exec sleep 1000`)
	d.Spec.Cgroup = &spec.Cgroup{Slice: "a-b", Service: "c", Instance: "d", MemoryLimit: 64 << 20}
	return d
}

// beChild applies the verbs, like a command does, and ends the program.
func beChild() {
	d, err := New(Options{Dirs: layout.Under(os.Getenv(childDir)), Below: os.Getenv(childGroup)})
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	for verb := range strings.FieldsSeq(os.Getenv(childVerbs)) {
		o, err := d.Observe(ctx, "web")
		if err != nil {
			panic(err)
		}
		want := crasher()
		s := spec.Step{Verb: spec.Verb(verb), Name: "web", Want: want, Generation: 1, Stop: want.Spec.Stop}
		if i := o[0].Instance; i != nil {
			s.Instance = i.ID
		}
		if verb == "Where" {
			text, err := os.ReadFile("/proc/self/cgroup")
			if err == nil {
				err = os.WriteFile(filepath.Join(os.Getenv(childDir), "where"), text, 0o600)
			}
			if err != nil {
				panic(err)
			}
			continue
		}
		if verb == "Crash" { // the daemon's main process, not ours
			unix.Kill(o[0].Instance.PID, unix.SIGKILL)
			continue
		}
		if err := d.Apply(ctx, s); err != nil && !errors.Is(err, drivers.ErrMoved) {
			panic(err)
		}
	}
	os.Exit(0)
}

// TestKilledAtAnyPoint kills a process between any two effects of any step, and looks what that leaves: never two copies, nothing unknown, no group that isn't used again or swept; and
// whoever comes next makes it right, with the record or without.
func TestKilledAtAnyPoint(t *testing.T) {
	if !failpoint.Enabled {
		withFailpoints(t)
		return
	}
	labhost.Test(t, labhost.Cgroup, func(t *testing.T) {
		for _, point := range failpoint.Names() {
			for _, forget := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s,forget=%v", point, forget), func(t *testing.T) {
					t.Parallel()
					killedAt(t, point, forget)
				})
			}
		}
	})
}

// withFailpoints runs this test in a test program that is built with them.
func withFailpoints(t *testing.T) {
	program := filepath.Join(t.TempDir(), "cgroup.test")
	if out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-tags", "failpoints", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build the test program with failpoints: %v\n%s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), program, "-test.v", "-test.run=^"+t.Name()+"$").CombinedOutput()
	if err != nil || testing.Verbose() {
		t.Logf("%s", out)
	}
	if err != nil {
		t.Error(err)
	}
}

func killedAt(t *testing.T, point failpoint.Point, forget bool) {
	const verbs = "Start Stamp Stop Start Crash Start Start Stop Remove"
	passed := false
	for nth := 1; ; nth++ {
		r := fresh(t)
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childDir+"="+filepath.Dir(r.dirs.Run), childGroup+"="+r.group, childVerbs+"="+verbs, fmt.Sprintf("%s=%s:%d", failpoint.Env, point, nth))
		out, err := child.CombinedOutput()
		killed := child.ProcessState.Sys().(syscall.WaitStatus).Signaled()
		if err != nil && !killed {
			t.Fatalf("the process that was to be killed: %v\n%s", err, out)
		}
		r.afterwards(forget)
		if !killed {
			break
		}
		passed = true
	}
	if passed != inThisRoom(point) {
		t.Errorf("a step passes this point: %v, want %v", passed, inThisRoom(point))
	}
}

// inThisRoom tells whether the steps pass a point: config files and logs of a daemon are others' to test, and this one ends when it is asked.
func inThisRoom(p failpoint.Point) bool {
	for _, room := range []string{"log.", "files.", "pause.", "unit."} {
		if strings.HasPrefix(string(p), room) {
			return false
		}
	}
	return p != failpoint.StopSignalled
}

// afterwards looks at what a process left that was killed, and brings the daemon to life and to its end.
func (r *rig) afterwards(forget bool) {
	r.Helper()
	if forget && !r.unmarked() { // nobody can know whose an unmarked group is without the record: it is a conflict then
		r.forget()
	}
	r.wantTruth()
	d := crasher()
	if o := r.apply(spec.VerbStart, d); o.State != spec.Running || o.Stamp == nil || o.Stamp.Digest != d.Digest {
		r.Errorf("after a start it is %s: %s", o.State, o.Message)
	}
	r.wantTruth()
	r.apply(spec.VerbStop, d)
	r.apply(spec.VerbRemove, d)
	if o := r.look1("web"); o.State != spec.Absent {
		r.Errorf("after the removal it is %s", o.State)
	}
	r.wantGroups()
	if names, err := r.List(context.Background()); err != nil || len(names) > 0 {
		r.Errorf("left are %v, %v", names, err)
	}
}

// unmarked tells whether the leaf is there without a mark.
func (r *rig) unmarked() bool {
	_, err := readLabel(filepath.Join(r.sub.dir(r.group), "a.slice/a-b.slice/c/d"))
	return errors.Is(err, errUnmarked)
}

// wantTruth fails unless what the driver sees of web is what there is: one copy at most, a leader, or the child of one that was killed unseen, because nobody knows then that it wasn't
// the leader's will to leave the child alone; and no process outside of its leaf. The looks aren't one: a signal may be on its way.
func (r *rig) wantTruth() {
	r.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		o, all := r.look1("web"), r.procs("a.slice/a-b.slice/c/d")
		leaders, everywhere := leadersOf(all), tagged(r)
		switch {
		case len(everywhere) > len(leaders):
		case o.State == spec.Running && slices.Contains(all, o.Instance.PID) && (len(leaders) == 0 || slices.Equal(leaders, []int{o.Instance.PID})):
			return
		case (o.State == spec.Absent || o.State == spec.Exited) && len(leaders) == 0:
			return
		}
		if len(leaders) > 1 || time.Now().After(deadline) {
			r.Fatalf("it is %s (%s), instance %+v; in the leaf lead %v of %v, in all %v", o.State, o.Message, o.Instance, leaders, all, everywhere)
		}
	}
}

// leadersOf are those of some processes that lead a session and live.
func leadersOf(pids []int) (leaders []int) {
	for _, pid := range pids {
		if st, err := procfs.ReadStat(pid); err == nil && st.Session == pid && !st.Dead() {
			leaders = append(leaders, pid)
		}
	}
	return leaders
}

// tagged are the session leaders that work in the rig's directory: their log is in there.
func tagged(r *rig) (pids []int) {
	for pid, err := range procfs.PIDs() {
		if err != nil {
			r.Fatal(err)
		}
		log, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/fd/1")
		if err != nil || !strings.HasPrefix(log, r.dirs.Log) {
			continue
		}
		if st, err := procfs.ReadStat(pid); err == nil && st.Session == pid && !st.Dead() {
			pids = append(pids, pid)
		}
	}
	return pids
}

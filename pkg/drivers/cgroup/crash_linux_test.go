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
	"testing"
	"time"

	"reconciler.dev/reconciler/internal/failpoint"
	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
	"reconciler.dev/reconciler/test/labhost"
)

// The variables that tell the other process of a test the directory to work in and the group to work below.
const (
	otherDir   = "CGROUP_TEST_DIR"
	otherGroup = "CGROUP_TEST_GROUP"
)

// other returns another process, with another driver.
func other(verbs, dir, group string) *exec.Cmd {
	return driverstest.Another(os.Args[0], verbs, otherDir+"="+dir, otherGroup+"="+group)
}

// other returns another process that works where r does.
func (r *rig) other(verbs string) *exec.Cmd {
	return other(verbs, filepath.Dir(r.dirs.Run), r.group)
}

// crasher is a daemon with a child.
func crasher() *spec.Daemon {
	d := shell("web", `sleep 1000 & exec sleep 1000`)
	d.Spec.Cgroup = &spec.Cgroup{Slice: "a-b", Service: "c", Instance: "d", MemoryLimit: 64 << 20}
	return d
}

// beKilled is that process, and ends the program. Where is a verb that has it write down its own cgroup.
func beKilled() {
	dir := os.Getenv(otherDir)
	d, err := New(Options{Dirs: layout.Under(dir), Below: os.Getenv(otherGroup)})
	if err != nil {
		panic(err)
	}
	err = driverstest.BeKilled(context.Background(), d, crasher(), func(string) {
		text, err := os.ReadFile("/proc/self/cgroup")
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "where"), text, 0o600)
		}
		if err != nil {
			panic(err)
		}
	})
	if err != nil {
		panic(err)
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
	out, err := exec.CommandContext(t.Context(), driverstest.WithFailpoints(t), "-test.v", "-test.run=^"+t.Name()+"$").CombinedOutput()
	if err != nil || testing.Verbose() {
		t.Logf("%s", out)
	}
	if err != nil {
		t.Error(err)
	}
}

func killedAt(t *testing.T, point failpoint.Point, forget bool) {
	passed := driverstest.KilledAt(t, point, func(int) (*exec.Cmd, func()) {
		r := fresh(t)
		return r.other(driverstest.LifeVerbs), func() { r.afterwards(forget) }
	})
	if passed != inThisRoom(point) {
		t.Errorf("a step passes this point: %v, want %v", passed, inThisRoom(point))
	}
}

// inThisRoom tells whether the steps pass a point: config files, logs and takeovers are tested elsewhere, and this daemon ends when it is asked.
func inThisRoom(p failpoint.Point) bool {
	for _, room := range []string{"log.", "files.", "pause.", "unit.", "program.", "adopt.", "listen.", "slot."} {
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
	r.LivesAndEnds(crasher(), r.wantTruth)
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
		o, all := r.Look("web"), r.procs("a.slice/a-b.slice/c/d")
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

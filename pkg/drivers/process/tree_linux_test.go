package process

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

// stubborn ignores what it is asked and has children everywhere: in its group, in a session of their own, and orphaned.
const stubborn = `trap '' TERM; sleep 1000 & setsid sh -c 'sleep 1000; sleep 1000' & (sleep 1000 & setsid sleep 1000 &); echo ready; sleep 1000; sleep 1000`

func TestStopEndsTheWholeTree(t *testing.T) {
	r := newRig(t)
	d := shell("web", stubborn)
	d.Spec.Stop.GracePeriod = spec.Duration(100 * time.Millisecond)
	i := r.Start(d).Instance
	r.Says("web", "ready")
	r.Until("web", func(spec.Observed) bool { return len(r.members(i)) >= 6 }) // those in the background may come after its word
	r.Do(spec.VerbStop, d)
	if m := r.members(i); len(m) != 0 {
		t.Errorf("left is %+v", m)
	}
	if e := r.Look("web").Instance.Exit; e == nil || e.Signal != "SIGKILL" || !e.Asked {
		t.Errorf("exit %+v", e)
	}
}

// TestStopAsksThoseThatOutliveTheirParent: a wrapper that ends at once must not cost its child the time to end in peace.
func TestStopAsksThoseThatOutliveTheirParent(t *testing.T) {
	r := newRig(t)
	d := shell("web", `sh -c 'trap "echo bye; exit 0" TERM; echo ready; while :; do sleep 0.01; done' & trap 'exit 3' TERM; wait`)
	r.Start(d)
	r.Says("web", "ready")
	r.Do(spec.VerbStop, d)
	r.Says("web", "bye")
	if e := r.Look("web").Instance.Exit; e == nil || e.Code != 3 || !e.Asked {
		t.Errorf("exit %+v", e)
	}
}

// TestStopOfAStoppedProcess: SIGTERM alone would wait for somebody to let it go on.
func TestStopOfAStoppedProcess(t *testing.T) {
	r := newRig(t)
	d := want("web", "/bin/sleep", "1000")
	i := r.Start(d).Instance
	unix.Kill(i.PID, unix.SIGSTOP)
	began := time.Now()
	r.Do(spec.VerbStop, d)
	if e := r.Look("web").Instance.Exit; e.Signal != "SIGTERM" || time.Since(began) > 3*time.Second {
		t.Errorf("exit %+v after %v", e, time.Since(began))
	}
}

// TestStopCatchesWhatKeepsMoving stops a daemon that is a new process every millisecond, and one that multiplies.
func TestStopCatchesWhatKeepsMoving(t *testing.T) {
	for name, script := range map[string]string{
		"hops":       "trap '' TERM\n\"$0\" &\n",
		"multiplies": "trap '' TERM\nif [ $(ls -d /proc/[0-9]* | wc -l) -lt $LIMIT ]; then \"$0\" & \"$0\" & fi\nsleep 1000\n",
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			path := filepath.Join(t.TempDir(), "program")
			if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
				t.Fatal(err)
			}
			d := want("web", path)
			n := 0
			for range procfs.PIDs() {
				n++
			}
			limit := itoa(n + 100)
			d.Spec.Env = map[string]spec.EnvVar{"LIMIT": {Value: &limit}}
			d.Spec.Stop.GracePeriod = 0
			r.Do(spec.VerbStart, d)
			time.Sleep(50 * time.Millisecond) // it is to be in full swing
			i := r.Look("web").Instance
			r.Do(spec.VerbStop, d)
			if m := r.members(i); len(m) != 0 {
				t.Errorf("left is %+v", m)
			}
		})
	}
}

func TestMainProcessIsTheOneThatWentOn(t *testing.T) {
	r := newRig(t)
	d := shell("web", `setsid sh -c 'echo $$ > "`+filepath.Join(t.TempDir(), "pid")+`"; echo ready; exec sleep 1000' & sleep 1000 & sleep 0.05; exit 0`)
	first := r.Start(d).Instance
	r.Says("web", "ready")
	o := r.Until("web", func(o spec.Observed) bool { return o.Instance.PID != first.PID })
	if o.State != spec.Running || o.Instance.ID != first.ID || o.Instance.Exit != nil {
		t.Fatalf("it is %s: %+v", o.State, o.Instance)
	}
	if st, err := procfs.ReadStat(o.Instance.PID); err != nil || st.Session != st.PID {
		t.Errorf("%+v, %v leads no session, and another one does", st, err)
	}
	r.Do(spec.VerbStop, d)
	if m := r.members(o.Instance); len(m) != 0 {
		t.Errorf("left is %+v", m)
	}
}

func TestKilledLeaderIsDeadWhateverItLeaves(t *testing.T) {
	r := newRig(t)
	d := shell("web", `sleep 1000 & echo ready; exec sleep 1000`)
	first := r.Start(d).Instance
	r.Says("web", "ready")
	unix.Kill(first.PID, unix.SIGKILL)
	o := r.Until("web", func(o spec.Observed) bool { return o.State == spec.Exited && o.Message != "" })
	if o.Instance.Exit.Signal != "SIGKILL" || o.Instance.Exit.Asked || !strings.Contains(o.Message, "are left") {
		t.Errorf("%q, exit %+v", o.Message, o.Instance.Exit)
	}
	step := r.Step(spec.VerbRemove, d)
	if err := r.Apply(t.Context(), step); !errors.Is(err, drivers.ErrMoved) {
		t.Errorf("a removal with a process left: %v", err)
	}
	s := r.Step(spec.VerbStart, d)
	s.Restart, s.Attempts = true, 3
	if err := r.Apply(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if m := r.members(first); len(m) != 0 {
		t.Errorf("the start left %+v of the instance before", m)
	}
	i := r.Look("web").Instance
	if i.Restarts != 1 || i.Attempts != 3 || i.Last == nil || i.Last.Signal != "SIGKILL" {
		t.Errorf("the new instance: %+v, last %+v", i, i.Last)
	}
}

// TestFailedLeaderIsDeadWhateverItLeaves: who goes into the background leaves with status 0, and nobody else keeps a failed daemon looking alive.
func TestFailedLeaderIsDeadWhateverItLeaves(t *testing.T) {
	r := newRig(t)
	d := shell("web", `trap 'exit 3' USR1; sleep 1000 & echo ready; wait`)
	first := r.Start(d).Instance
	r.Says("web", "ready")
	unix.Kill(first.PID, unix.SIGUSR1)
	o := r.Until("web", func(o spec.Observed) bool { return o.State == spec.Exited && o.Message != "" })
	if !o.Instance.Exit.Known || o.Instance.Exit.Code != 3 || !strings.Contains(o.Message, "left") {
		t.Errorf("%q, exit %+v", o.Message, o.Instance.Exit)
	}
	r.Do(spec.VerbStop, d)
	if m := r.members(first); len(m) != 0 {
		t.Errorf("left is %+v", m)
	}
}

func TestStopEndsWhatAKilledLeaderLeft(t *testing.T) {
	r := newRig(t)
	d := shell("web", `sleep 1000 & echo ready; exec sleep 1000`)
	i := r.Start(d).Instance
	r.Says("web", "ready")
	unix.Kill(i.PID, unix.SIGKILL)
	r.Until("web", driverstest.Is(spec.Exited))
	r.Do(spec.VerbStop, d)
	if m := r.members(i); len(m) != 0 {
		t.Errorf("left is %+v", m)
	}
	if e := r.Look("web").Instance.Exit; e.Asked {
		t.Errorf("exit %+v: nobody asked the leader to end", e)
	}
	r.Do(spec.VerbRemove, d)
}

// TestReusedNumberIsNotOurs: the number in the record belongs to somebody else now, who must neither be seen as the daemon nor be signalled.
func TestReusedNumberIsNotOurs(t *testing.T) {
	r := newRig(t)
	stranger := exec.Command("/bin/sleep", "1000")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { stranger.Process.Kill(); stranger.Wait() }()
	time.Sleep(20 * time.Millisecond) // two ticks of the clock that tells start times
	d := want("web", "/bin/sleep", "1000")
	i := r.Start(d).Instance
	r.kill(i)
	rec, err := r.store.read("web")
	if err != nil {
		t.Fatal(err)
	}
	next, inst := *rec, *rec.Instance
	next.Instance = &inst
	inst.PID = stranger.Process.Pid
	if err := r.store.write(&next); err != nil {
		t.Fatal(err)
	}
	if o := r.Look("web"); o.State != spec.Exited || o.Instance.Exit.Known {
		t.Errorf("it is %s, exit %+v", o.State, o.Instance.Exit)
	}
	r.Do(spec.VerbStop, d)
	r.Do(spec.VerbStart, d)
	r.Do(spec.VerbStop, d)
	if err := unix.Kill(stranger.Process.Pid, 0); err != nil {
		t.Error("the stranger was killed")
	}
	if st, err := procfs.ReadStat(stranger.Process.Pid); err != nil || st.Dead() {
		t.Errorf("the stranger: %+v, %v", st, err)
	}
}

// TestLostTagIsNoEnd: a daemon may set its limits; its main process is still known by its start time.
func TestLostTagIsNoEnd(t *testing.T) {
	r := newRig(t)
	d := want("web", "/bin/sleep", "1000")
	i := r.Start(d).Instance
	if err := unix.Prlimit(i.PID, 10, &unix.Rlimit{Cur: 5, Max: 5}, nil); err != nil {
		t.Fatal(err)
	}
	if o := r.Look("web"); o.State != spec.Running {
		t.Errorf("it is %s", o.State)
	}
	r.Do(spec.VerbStop, d)
	if _, err := procfs.ReadStat(i.PID); !errors.Is(err, procfs.ErrGone) {
		t.Errorf("its process: %v", err)
	}
}

// TestStopOfAProcessWithoutItsTag: one that shed its tag and ignores what it is asked is ended all the same.
func TestStopOfAProcessWithoutItsTag(t *testing.T) {
	r := newRig(t)
	d := shell("web", `trap '' TERM; echo ready; while :; do sleep 0.01; done`)
	d.Spec.Stop.GracePeriod = spec.Duration(50 * time.Millisecond)
	i := r.Start(d).Instance
	r.Says("web", "ready")
	if err := unix.Prlimit(i.PID, 10, &unix.Rlimit{Cur: 5, Max: 5}, nil); err != nil {
		t.Fatal(err)
	}
	r.Do(spec.VerbStop, d)
	if st, err := procfs.ReadStat(i.PID); err == nil && !st.Dead() {
		t.Errorf("its process: %+v", st)
	}
}

// TestAnotherBoot: a record may outlive the boot it speaks of, where it lies on disk.
func TestAnotherBoot(t *testing.T) {
	r := newRig(t)
	d := want("web", "/bin/sleep", "1000")
	i := r.Start(d).Instance
	after := r.another()
	after.self.BootID = "another"
	o := after.Look("web")
	if e := o.Instance.Exit; o.State != spec.Exited || e.Known || time.Since(e.At) < procfs.SinceBoot()-time.Minute || e.Since <= 0 {
		t.Errorf("it is %s, exit %+v", o.State, o.Instance.Exit)
	}
	r.kill(i) // what ran in the boot before can't be there; here it is
	after.Do(spec.VerbStart, d)
	if next := after.Look("web"); next.State != spec.Running || next.Instance.ID == i.ID || next.Instance.Last.Known {
		t.Errorf("after a start it is %s: %+v", next.State, next.Instance)
	}
}

// intend records that a process is about to start d, and returns the record.
func (r *rig) intend(d *spec.Daemon, by actor) *record {
	r.Helper()
	rec := r.newIntent(r.Step(spec.VerbStart, d), nil, "")
	rec.By = &by
	if err := r.store.write(rec); err != nil {
		r.Fatal(err)
	}
	return rec
}

func TestStartUnderWayAndCutOff(t *testing.T) {
	r := newRig(t)
	starter := exec.Command("/bin/sleep", "1000")
	if err := starter.Start(); err != nil {
		t.Fatal(err)
	}
	st, err := procfs.ReadStat(starter.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	d := want("web", "/bin/sleep", "1000")
	r.intend(d, actor{PID: st.PID, StartTicks: st.Start, BootID: r.self.BootID})
	lock, err := drivers.LockName(t.Context(), r.dirs, "web")
	if err != nil {
		t.Fatal(err)
	}
	if o := r.Look("web"); o.State != spec.Starting || o.Instance == nil || o.Stamp == nil {
		t.Errorf("while its starter lives it is %s: %+v", o.State, o)
	}
	lock.Release()
	starter.Process.Kill()
	starter.Wait()
	if o := r.Look("web"); o.State != spec.Exited || o.Instance != nil || o.Stamp.Digest != d.Digest {
		t.Errorf("cut off before the fork it is %s: %+v", o.State, o)
	}

	rec := r.intend(d, actor{PID: st.PID, StartTicks: st.Start, BootID: r.self.BootID})
	l, err := r.prepare(d)
	if err != nil {
		t.Fatal(err)
	}
	l.cmd.Stdout, l.cmd.Stderr, l.cmd.Tag = os.Stderr, os.Stderr, uint64(tag(rec.Intent.Instance))
	p, err := r.Driver.spawn.Start(l.cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer p.FD.Close()
	other := r.another()
	o := other.Look("web")
	if o.State != spec.Running || o.Instance.PID != p.PID || o.Instance.ID != rec.Intent.Instance.ID {
		t.Errorf("cut off after the fork it is %s: %+v", o.State, o.Instance)
	}
	s := other.Step(spec.VerbStart, d)
	s.Instance = "" // as it was planned
	if err := other.Apply(t.Context(), s); err != nil || other.Look("web").Instance.PID != p.PID {
		t.Errorf("the start that is done again: %v", err)
	}
	other.Do(spec.VerbStop, d)
}

func TestFailedStartLeavesWhatWas(t *testing.T) {
	r := newRig(t)
	bad := want("web", "/bin/sleep", "1000")
	bad.Spec.Binary, bad.Digest = "/does/not/exist", "sha256:bad"
	err := r.Apply(t.Context(), r.Step(spec.VerbStart, bad))
	if !errors.Is(err, drivers.ErrPermanent) || !strings.Contains(err.Error(), "start daemon web: execute /does/not/exist: there is no such file") {
		t.Errorf("got %v", err)
	}
	if o := r.Look("web"); o.State != spec.Absent {
		t.Errorf("after a first start that failed it is %s", o.State)
	}
	d := want("web", "/bin/sleep", "1000")
	r.Start(d)
	r.Do(spec.VerbStop, d)
	before := r.Look("web")
	if err := r.Apply(t.Context(), r.Step(spec.VerbStart, bad)); !errors.Is(err, drivers.ErrPermanent) {
		t.Errorf("got %v", err)
	}
	if after := r.Look("web"); after.Stamp.Digest != d.Digest || after.Instance.ID != before.Instance.ID {
		t.Errorf("a start that failed left %+v", after)
	}
}

func TestNoZombiesAreLeft(t *testing.T) {
	r := newRig(t)
	var pids []int
	for _, how := range []func(d *spec.Daemon, pid int){
		func(d *spec.Daemon, _ int) { r.Do(spec.VerbStop, d) },
		func(d *spec.Daemon, pid int) {
			unix.Kill(pid, unix.SIGKILL)
			r.Until(d.Name, driverstest.Is(spec.Exited))
		},
	} {
		d := want("web", "/bin/sleep", "1000")
		pid := r.Start(d).Instance.PID
		how(d, pid)
		pids = append(pids, pid)
	}
	for _, pid := range pids {
		if st, err := procfs.ReadStat(pid); !errors.Is(err, procfs.ErrGone) {
			t.Errorf("process %d: %+v, %v", pid, st, err)
		}
	}
}

func TestLosses(t *testing.T) {
	s := want("web", "/bin/true").Spec
	r := newRig(t)
	if lost := r.losses("web", &s); len(lost) != 0 {
		t.Errorf("a plain daemon loses %+v", lost)
	}
	s.Rlimits = map[string]spec.Rlimit{"locks": {}, "nofile": {}}
	s.Cgroup = &spec.Cgroup{Slice: "s", CPULimit: 1, MemoryLimit: spec.Unlimited, MemoryHigh: 1, PidsLimit: 1, CPUWeight: 1, IOWeight: 1}
	var fields []string
	for _, l := range r.losses("web", &s) {
		fields = append(fields, strings.TrimPrefix(l.Field, "spec."))
	}
	if want := []string{"rlimits.locks", "cgroup.cpuLimit", "cgroup.memoryHigh", "cgroup.pidsLimit", "cgroup.cpuWeight", "cgroup.ioWeight", "cgroup.slice"}; !slices.Equal(fields, want) {
		t.Errorf("lost %q, want %q", fields, want)
	}
}

package cgroup

import (
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

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
	"reconciler.dev/reconciler/test/labhost"
)

// TestLimits: what the kernel does about limits, on a machine that has all controllers and one CPU.
func TestLimits(t *testing.T) {
	labhost.Test(t, labhost.Limits, func(t *testing.T) {
		t.Run("memory over the limit is an OOM kill", outOfMemory)
		t.Run("a worker that runs out of memory takes the daemon with it", workerOutOfMemory)
		t.Run("half of a CPU", halfACPU)
		t.Run("a limit of processes", processLimit)
		t.Run("a fork bomb dies whole", forkBomb)
		t.Run("limits change under a running daemon", liveChange)
		t.Run("a limit that somebody changed is put back", limitDrift)
		t.Run("what is required and there is no refusal", requiredLimits)
		t.Run("a group with others in it", occupiedGroup)
		t.Run("this process goes out of the way", outOfTheWay)
		t.Run("without cgroup.kill", withoutKill)
	})
}

// limited is a daemon with limits.
func limited(d *spec.Daemon, c spec.Cgroup) *spec.Daemon {
	d.Spec.Cgroup = &c
	return d
}

func (r *rig) file(o spec.Observed, name string) string {
	r.Helper()
	text, err := readFile(filepath.Join(r.sub.dir(o.Cgroup), name))
	if err != nil {
		r.Fatal(err)
	}
	return text
}

func outOfMemory(t *testing.T) {
	r := fresh(t)
	d := limited(shell("web", "exec tail /dev/zero"), spec.Cgroup{MemoryLimit: 32 << 20})
	o := r.Start(d)
	if got := r.file(o, "memory.max") + " " + r.file(o, "memory.swap.max"); got != "33554432 0" {
		t.Errorf("memory.max and memory.swap.max are %s", got)
	}
	o = r.Until("web", driverstest.Is(spec.Exited))
	if e := o.Instance.Exit; !e.OOMKilled || e.Signal != "SIGKILL" || e.Asked {
		t.Errorf("exit %+v", e)
	}
	d.Spec.Args = []string{"-c", "exec sleep 1000"}
	if o := r.Start(d); !o.Instance.Last.OOMKilled || !strings.Contains(r.file(o, "memory.events"), "oom_kill 0") {
		t.Errorf("the next instance: last %+v, %s", o.Instance.Last, r.file(o, "memory.events"))
	}
	unix.Kill(r.Look("web").Instance.PID, unix.SIGKILL)
	if e := r.Until("web", driverstest.Is(spec.Exited)).Instance.Exit; e.OOMKilled {
		t.Errorf("killed by hand: %+v", e)
	}
}

func workerOutOfMemory(t *testing.T) {
	r := fresh(t)
	d := limited(shell("web", "sleep 1000 & tail /dev/zero & wait; wait; exec sleep 1000"), spec.Cgroup{MemoryLimit: 32 << 20})
	r.Start(d)
	o := r.Until("web", driverstest.Is(spec.Exited))
	if e := o.Instance.Exit; !e.OOMKilled {
		t.Errorf("exit %+v", e)
	}
	var left []int
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) { // all were killed at once, and one after the other they end
		if left = r.procs("reconciler.slice/web"); len(left) == 0 {
			return
		}
	}
	t.Errorf("left are %v", left)
}

// usage is the CPU time that a daemon has used.
func (r *rig) usage(o spec.Observed) time.Duration {
	r.Helper()
	_, rest, _ := strings.Cut(r.file(o, "cpu.stat"), "usage_usec ")
	word, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.Atoi(word)
	if err != nil {
		r.Fatal(err)
	}
	return time.Duration(n) * time.Microsecond
}

func halfACPU(t *testing.T) {
	r := fresh(t)
	o := r.Start(limited(shell("web", "while :; do :; done"), spec.Cgroup{CPULimit: 500}))
	share := func(over time.Duration) float64 {
		before, began := r.usage(o), time.Now()
		time.Sleep(over)
		return float64(r.usage(o)-before) / float64(time.Since(began))
	}
	share(300 * time.Millisecond)
	best := 0.0
	for round := 0; round < 10 && best < 0.45; round++ { // what it gets of its half is also for others to say, who want this machine's CPUs
		s := share(4 * time.Second)
		if best = max(best, s); s > 0.55 {
			t.Errorf("it got %.3f of the CPU", s)
		}
	}
	if best < 0.45 {
		t.Errorf("it never got more than %.3f of the CPU", best)
	}
	if diff := cmp.Diff([]spec.Limit{{Field: "spec.cgroup.cpuLimit", Value: "50%"}}, r.Look("web").Limits); diff != "" {
		t.Error(diff)
	}
}

func processLimit(t *testing.T) {
	r := fresh(t)
	d := limited(shell("web", `i=0; while [ $i -lt 30 ]; do sleep 1000 & i=$((i+1)); done; echo all; exec sleep 1000`), spec.Cgroup{PidsLimit: 12})
	r.Start(d)
	log := r.Says("web", "fork")
	if n := len(r.procs("reconciler.slice/web")); n > 12 {
		t.Errorf("%d processes run: %s", n, log)
	}
}

func forkBomb(t *testing.T) {
	r := fresh(t)
	program := filepath.Join(t.TempDir(), "bomb")
	if err := os.WriteFile(program, []byte("#!/bin/sh\ntrap '' TERM\nwhile :; do \"$0\" & done\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	d := limited(want("web", program), spec.Cgroup{PidsLimit: 60})
	d.Spec.Stop.GracePeriod = spec.Duration(100 * time.Millisecond)
	o := r.Start(d)
	r.Until("web", func(spec.Observed) bool {
		return r.file(o, "pids.current") >= "50" && len(r.file(o, "pids.current")) == 2
	})
	began := time.Now()
	r.Do(spec.VerbStop, d)
	t.Logf("it took %v", time.Since(began))
	r.wantGroups()
}

func liveChange(t *testing.T) {
	r := fresh(t)
	d := want("web", "/bin/sleep", "1000")
	i := r.Start(d).Instance
	for n, c := range []struct {
		limits spec.Cgroup
		want   []spec.Limit
		files  map[string]string
	}{
		{spec.Cgroup{CPULimit: 2000, MemoryLimit: 64 << 20, MemoryHigh: 48 << 20, PidsLimit: 100, CPUWeight: 50},
			[]spec.Limit{{Field: "spec.cgroup.cpuLimit", Value: "200%"}, {Field: "spec.cgroup.memoryLimit", Value: "64M"}, {Field: "spec.cgroup.memoryHigh", Value: "48M"},
				{Field: "spec.cgroup.pidsLimit", Value: "100"}, {Field: "spec.cgroup.cpuWeight", Value: "50"}},
			map[string]string{"cpu.max": "200000 100000", "memory.max": "67108864", "memory.high": "50331648", "pids.max": "100", "cpu.weight": "50", "memory.swap.max": "0", "memory.oom.group": "1"}},
		{spec.Cgroup{CPULimit: 5, MemoryLimit: 100_000_001, PidsLimit: 7, CPUWeight: 10000},
			[]spec.Limit{{Field: "spec.cgroup.cpuLimit", Value: "0.5%"}, {Field: "spec.cgroup.memoryLimit", Value: "97656K"}, {Field: "spec.cgroup.pidsLimit", Value: "7"}, {Field: "spec.cgroup.cpuWeight", Value: "10000"}},
			map[string]string{"cpu.max": "5000 1000000", "memory.max": "99999744", "memory.high": "max", "pids.max": "7", "cpu.weight": "10000"}},
		{spec.Cgroup{MemoryLimit: spec.Unlimited}, nil,
			map[string]string{"cpu.max": "max 100000", "memory.max": "max", "memory.high": "max", "pids.max": "max", "cpu.weight": "100", "memory.swap.max": "max", "memory.oom.group": "1"}},
	} {
		d = limited(d, c.limits)
		d.Digest = fmt.Sprint("sha256:", n)
		s := r.Step(spec.VerbStamp, d)
		began := time.Now()
		if err := r.Apply(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		t.Logf("it took %v", time.Since(began))
		o := r.Look("web")
		if diff := cmp.Diff(c.want, o.Limits); diff != "" || len(o.Drift) > 0 || len(o.Lost) > 0 || o.Instance.PID != i.PID || o.Stamp.Digest != d.Digest {
			t.Errorf("change %d: process %d of %d, drift %v, lost %v, limits (-want +have)\n%s", n, o.Instance.PID, i.PID, o.Drift, o.Lost, diff)
		}
		for file, want := range c.files {
			if have := r.file(o, file); have != want {
				t.Errorf("change %d: %s is %q, want %q", n, file, have, want)
			}
		}
		r.forget()
		if o := r.Look("web"); o.Stamp.Digest != d.Digest {
			t.Errorf("change %d: the leaf says %s", n, o.Stamp.Digest)
		}
	}
}

func limitDrift(t *testing.T) {
	r := fresh(t)
	d := limited(want("web", "/bin/sleep", "1000"), spec.Cgroup{MemoryLimit: 64 << 20})
	o := r.Start(d)
	for file, text := range map[string]string{"memory.max": "max", "pids.max": "100"} {
		if err := writeFile(filepath.Join(r.sub.dir(o.Cgroup), file), text); err != nil {
			t.Fatal(err)
		}
	}
	want := []spec.Drift{{Field: "spec.cgroup.memoryLimit", Want: "64M", Have: "no limit", Class: spec.Live}, {Field: "spec.cgroup.pidsLimit", Want: "no limit", Have: "100", Class: spec.Live}}
	if diff := cmp.Diff(want, r.Look("web").Drift); diff != "" {
		t.Error(diff)
	}
	if after := r.Do(spec.VerbStamp, d); len(after.Drift) > 0 || after.Instance.PID != o.Instance.PID || r.file(o, "memory.max") != "67108864" || r.file(o, "pids.max") != "max" {
		t.Errorf("after a stamp: drift %v", after.Drift)
	}
}

func requiredLimits(t *testing.T) {
	r := fresh(t)
	have := enforced(t, r.group)
	d := limited(want("web", "/bin/sleep", "1000"), spec.Cgroup{IOWeight: 50})
	if lost, err := r.Check(t.Context(), d); err != nil || (len(lost) == 1) == slices.Contains(have, "spec.cgroup.ioWeight") {
		t.Errorf("of %v the kernel has %v: lost %v, %v", "ioWeight", have, lost, err)
	}
	d = limited(want("web", "/bin/sleep", "1000"), spec.Cgroup{CPULimit: 500, MemoryLimit: 64 << 20, MemoryHigh: 48 << 20, PidsLimit: 100, CPUWeight: 50, Required: true})
	if lost, err := r.Check(t.Context(), d); err != nil || len(lost) > 0 {
		t.Errorf("lost %v, %v", lost, err)
	}
	if o := r.Start(d); len(o.Limits) != 5 || len(o.Lost) > 0 {
		t.Errorf("limits %v, lost %v", o.Limits, o.Lost)
	}
}

// in starts a program in a group.
func (r *rig) in(group string, cmd *exec.Cmd) {
	r.Helper()
	fd, err := unix.Open(r.sub.dir(group), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		r.Fatal(err)
	}
	defer unix.Close(fd)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: fd}
	if err := cmd.Start(); err != nil {
		r.Fatal(err)
	}
}

// occupiedGroup: where others sit in the group that is ours, no controller can be enabled, and that is said.
func occupiedGroup(t *testing.T) {
	r := fresh(t)
	stranger := exec.Command("/bin/sleep", "1000")
	r.in(r.group, stranger)
	d := limited(want("web", "/bin/sleep", "1000"), spec.Cgroup{MemoryLimit: 64 << 20, PidsLimit: 10})
	o := r.Start(d)
	if len(o.Lost) != 2 || !strings.Contains(o.Lost[0].Reason, fmt.Sprintf("processes %d are in %s", stranger.Process.Pid, r.sub.dir(r.group))) {
		t.Errorf("lost %+v", o.Lost)
	}
	d.Spec.Cgroup.Required = true
	if err := r.Apply(t.Context(), r.Step(spec.VerbStamp, d)); !errors.Is(err, drivers.ErrUnsupported) {
		t.Errorf("required: %v", err)
	}
	stranger.Process.Kill()
	stranger.Wait()
	if o := r.Do(spec.VerbStamp, d); len(o.Lost) > 0 || len(o.Limits) != 2 {
		t.Errorf("once the others have gone: lost %v, limits %v", o.Lost, o.Limits)
	}
}

// outOfTheWay: a process of ours that sits in its delegated group goes into a leaf of it, so that controllers can be enabled; nothing above the group changes.
func outOfTheWay(t *testing.T) {
	r := fresh(t)
	above := words(r.sub.dir("/"), "cgroup.subtree_control")
	child := r.other("Start Where")
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	r.in(r.group, child)
	if err := child.Wait(); err != nil {
		t.Fatal(err)
	}
	o := r.Look("web")
	if o.State != spec.Running || len(o.Lost) > 0 || !slices.Contains(o.Limits, spec.Limit{Field: "spec.cgroup.memoryLimit", Value: "64M"}) {
		t.Errorf("it is %s: lost %v, limits %v", o.State, o.Lost, o.Limits)
	}
	where, err := os.ReadFile(filepath.Join(filepath.Dir(r.dirs.Run), "where"))
	if err != nil || !strings.HasSuffix(strings.TrimSpace(string(where)), r.group+"/"+selfLeaf) {
		t.Errorf("the child was in %q, %v", where, err)
	}
	if now := words(r.sub.dir("/"), "cgroup.subtree_control"); !slices.Equal(now, above) {
		t.Errorf("above are %v enabled, and were %v", now, above)
	}
	r.Do(spec.VerbStop, crasher())
}

// withoutKill: a kernel before 5.14 has no cgroup.kill. A leaf is frozen instead, and its processes killed one by one.
func withoutKill(t *testing.T) {
	r := fresh(t)
	d := shell("web", `trap '' TERM; for i in 1 2 3 4 5; do sleep 1000 & done; echo ready; while :; do sleep 0.01; done`)
	d.Spec.Stop.GracePeriod = 0
	o := r.Start(d)
	r.Says("web", "ready")
	ts := &trees{sub: r.sub, run: r.dirs.Run}
	if err := ts.freeze(o.Cgroup); err != nil {
		t.Fatal(err)
	}
	r.Until("web", func(spec.Observed) bool { return strings.Contains(r.file(o, "cgroup.events"), "frozen 1") })
	for _, pid := range r.procs("reconciler.slice/web") {
		unix.Kill(pid, unix.SIGKILL)
	}
	r.Until("web", func(spec.Observed) bool { return len(r.procs("reconciler.slice/web")) == 0 })
}

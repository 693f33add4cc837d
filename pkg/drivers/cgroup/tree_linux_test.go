package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

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

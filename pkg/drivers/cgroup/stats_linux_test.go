package cgroup

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/internal/usage"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
	"reconciler.dev/reconciler/test/labhost"
)

// modules are those of the machine's kernel. It has no disk, and one of them makes disks in memory.
const modules = "/usr/lib/uml/modules"

// TestFiguresAgreeWithTheKernel measures daemons that use what is known, over ten seconds, on a machine that has all controllers and one CPU.
func TestFiguresAgreeWithTheKernel(t *testing.T) {
	labhost.Test(t, labhost.Limits, figures, labhost.Bind{From: modules, To: modules})
}

// What a daemon writes to a disk and reads from it, in megabytes.
const written, readOut = 64, 32

func figures(t *testing.T) {
	makeRAMDisk(t)
	r := fresh(t)
	begin := filepath.Join(t.TempDir(), "begin")
	r.Start(limited(shell("holder", "(head -c 33554432 /dev/zero; exec sleep 1000) | tail"), spec.Cgroup{MemoryLimit: 256 << 20}))
	r.Until("holder", func(o spec.Observed) bool {
		n, _ := strconv.Atoi(strings.TrimSpace(r.file(o, "memory.current"))) // it can't be read as a number only where it isn't one
		return n > 32<<20
	})
	for _, d := range []*spec.Daemon{
		limited(shell("burner", "while :; do :; done"), spec.Cgroup{CPULimit: 400}),
		limited(shell("forker", `while :; do (i=0; while [ $i -lt 9000 ]; do i=$((i+1)); done) & (i=0; while [ $i -lt 4000 ]; do i=$((i+1)); done); wait; done`), spec.Cgroup{CPULimit: 300}),
		limited(shell("disk", `while [ ! -e `+begin+` ]; do sleep 0.1; done
			for i in 1 2 3 4 5 6 7 8; do
				dd if=/dev/zero of=/dev/ram0 bs=1M count=`+strconv.Itoa(written/8)+` oflag=direct && dd if=/dev/ram0 of=/dev/null bs=1M count=`+strconv.Itoa(readOut/8)+` iflag=direct
			done; echo done; exec sleep 1000`), spec.Cgroup{IOWeight: 100}),
	} {
		r.Start(d)
	}
	whole, tree := &usage.Reader{}, &usage.Reader{}
	pid := r.Look("burner").Instance.PID
	least := -cpuTime(t, pid)
	before, forkerBefore, beforeAgain := r.measure(whole), r.measureTree(tree, "forker"), r.measure(whole)
	most := least
	least = -cpuTime(t, pid)
	if err := os.WriteFile(begin, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for range 10 { // short passes, so that a process that lives for less than one is the exception
		time.Sleep(time.Second)
		r.measureTree(tree, "forker")
	}
	r.Says("disk", "done")
	least += cpuTime(t, pid)
	after, forkerAfter, afterAgain := r.measure(whole), r.measureTree(tree, "forker"), r.measure(whole)
	most += cpuTime(t, pid)

	// What a daemon gets of its limit depends on who else wants the CPU. The kernel counts it once for the process, and once for the cgroup.
	burner, forker := spec.Rates(before["burner"], after["burner"]), spec.Rates(before["forker"], after["forker"])
	over := burner.Over.Seconds()
	within(t, "CPU of the burner", *burner.CPU, min(max(*burner.CPU, least.Seconds()/over), most.Seconds()/over), 0.03)
	processes := used(forkerBefore, forkerAfter)
	within(t, "CPU of the forker, of its processes", processes, min(max(processes, used(beforeAgain["forker"], after["forker"])), used(before["forker"], afterAgain["forker"])), 0.03)
	if *burner.CPU > 0.4*1.03 || *forker.CPU > 0.3*1.03 {
		t.Errorf("%v and %v of the CPU are more than the limits", *burner.CPU, *forker.CPU)
	}
	if *burner.Throttled == 0 || *after["burner"].CPU.Limit != 400 {
		t.Errorf("a burner is throttled in %v of its periods, by a limit of %v", *burner.Throttled, *after["burner"].CPU.Limit)
	}
	holder, at := after["holder"], r.Look("holder")
	current, err := strconv.ParseFloat(strings.TrimSpace(r.file(at, "memory.current")), 64)
	if err != nil {
		t.Fatal(err)
	}
	within(t, "memory", float64(*holder.Memory.Current), current, 0.01)
	if *holder.Memory.Anon < 32<<20 || *holder.Memory.Anon > *holder.Memory.Current || *holder.Memory.Limit != 256<<20 || *holder.Memory.Peak < *holder.Memory.Current || *holder.OOMKills != 0 {
		t.Errorf("got %+v, %d kills", holder.Memory, *holder.OOMKills)
	}
	within(t, "written", float64(*after["disk"].IO.WriteBytes-*before["disk"].IO.WriteBytes), written<<20, 0.03)
	within(t, "read", float64(*after["disk"].IO.ReadBytes-*before["disk"].IO.ReadBytes), readOut<<20, 0.03)
	if n := *holder.Tasks; n != int64(len(holder.PIDs)) || n < 3 {
		t.Errorf("%d tasks, and processes %v", n, holder.PIDs)
	}
}

// used is the CPU time between two samples, in seconds.
func used(before, after spec.Sample) float64 { return (*after.CPU.Usage - *before.CPU.Usage).Seconds() }

func makeRAMDisk(t *testing.T) {
	t.Helper()
	found, err := filepath.Glob(modules + "/*/kernel/drivers/block/brd.ko")
	if err != nil || len(found) != 1 {
		t.Fatalf("found the modules %v: %v", found, err)
	}
	f, err := os.Open(found[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "rd_nr=1 rd_size=131072", 0); err != nil {
		t.Fatal(err)
	}
}

// cpuTime is what the kernel counted of a process: see utime and stime in proc_pid_stat(5).
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')'):]))
	user, err := strconv.Atoi(fields[12])
	system, err2 := strconv.Atoi(fields[13])
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	return time.Duration(user+system) * time.Second / procfs.Ticks
}

// measure reads what all daemons have used.
func (r *rig) measure(of *usage.Reader) map[string]spec.Sample {
	r.Helper()
	places, err := r.Places(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	all := map[string]spec.Sample{}
	for _, p := range places {
		s := sampleOf(p)
		of.Read(r.Context(), &s, usage.Subject{Dir: p.Dir})
		if s.State != spec.Running {
			r.Fatalf("%s is %s: %s", s.Name, s.State, s.Message)
		}
		all[p.Name] = s
	}
	return all
}

// measureTree reads what a daemon has used as if it had no cgroup: of its processes.
func (r *rig) measureTree(of *usage.Reader, name string) spec.Sample {
	r.Helper()
	places, err := r.Places(r.Context(), name)
	if err != nil {
		r.Fatal(err)
	}
	pids, err := procsIn(places[0].Dir)
	if err != nil {
		r.Fatal(err)
	}
	s := sampleOf(places[0])
	of.Read(r.Context(), &s, usage.Subject{PIDs: pids})
	return s
}

func sampleOf(p drivers.Place) spec.Sample {
	return spec.Sample{Name: p.Name, State: p.State, Instance: p.Instance, Cgroup: p.Cgroup}
}

func within(t *testing.T, what string, got, want, part float64) {
	t.Helper()
	if off := math.Abs(got-want) / want; off > part {
		t.Errorf("%s: %v, and it is %v: %.1f %% off", what, got, want, off*100)
	}
	t.Logf("%s: %v, and it is %v", what, got, want)
}

package process

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/pkg/spec"
)

// watched begins to watch and returns what is told, once the watch is armed.
func (r *rig) watched() <-chan string {
	r.Helper()
	told := make(chan string, 10_000)
	ctx, cancel := context.WithCancel(r.Context())
	done := make(chan error, 1)
	go func() { done <- r.Watch(ctx, func(name string) { told <- name }) }()
	r.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			r.Errorf("the watch ended: %v", err)
		}
		if n := len(r.Driver.watch.armed); n != 0 {
			r.Errorf("%d processes are watched after the watch ended", n)
		}
	})
	if first := <-told; first != "" {
		r.Fatalf("the first thing told is %q", first)
	}
	return told
}

// hears waits until name is told.
func (r *rig) hears(told <-chan string, name string) {
	r.Helper()
	for {
		select {
		case got := <-told:
			if got == name {
				return
			}
		case <-time.After(20 * time.Second):
			r.Fatalf("nothing is told of %s", name)
		}
	}
}

// hearsEnd waits until name is told of and has ended: what is told first may be of something before that.
func (r *rig) hearsEnd(told <-chan string, name string) spec.Observed {
	r.Helper()
	for {
		r.hears(told, name)
		if o := r.Look(name); o.State == spec.Exited {
			return o
		}
	}
}

func cpuTime(t testing.TB) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestWatchingManyTakesNothingEach: one goroutine, no thread and no time for daemons that just run.
func TestWatchingManyTakesNothingEach(t *testing.T) {
	r := newRig(t)
	threads := func() int {
		es, err := os.ReadDir("/proc/self/task")
		if err != nil {
			t.Fatal(err)
		}
		return len(es)
	}
	told := r.watched()
	ds, names := manyWants(100)
	r.Each(spec.VerbStart, ds[:1], 1)
	r.hears(told, names[0])
	goroutines, before := runtime.NumGoroutine(), threads()
	r.Each(spec.VerbStart, ds[1:], workers)
	for len(told) > 0 {
		<-told
	}
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > goroutines && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if n := runtime.NumGoroutine() - goroutines; n > 0 {
		t.Errorf("99 more daemons take %d more goroutines", n)
	}
	if n := threads() - before; n > 2*workers {
		t.Errorf("99 more daemons take %d more threads", n)
	}
	if n := len(r.Driver.watch.armed); n != len(names) {
		t.Errorf("%d of %d are watched", n, len(names))
	}
	spent := time.Hour
	for round := 0; round < 20 && spent > 20*time.Millisecond; round++ { // what the runtime does for itself comes and goes, and is no cost of watching
		before := cpuTime(t)
		time.Sleep(500 * time.Millisecond)
		spent = min(spent, cpuTime(t)-before)
	}
	if spent > 20*time.Millisecond {
		t.Errorf("half a second of nothing takes %v of CPU time", spent)
	}
}

// TestWatchLearnsHowSomebodyElsesChildEnded: a daemon outlives the command that started it, and is nobody's child that we know.
func TestWatchLearnsHowSomebodyElsesChildEnded(t *testing.T) {
	r := newRig(t)
	child := other(os.Args[0], "Start", filepath.Dir(r.dirs.Run), newMarker(7777))
	if out, err := child.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	told := r.watched()
	i := r.Look("web").Instance
	if st, err := procfs.ReadStat(i.PID); err != nil || st.PPID == os.Getpid() {
		t.Fatalf("%+v, %v: it is our child", st, err)
	}
	unix.Kill(i.PID, unix.SIGKILL)
	if e := r.hearsEnd(told, "web").Instance.Exit; e == nil || kernelTells(t) && (!e.Known || e.Signal != "SIGKILL") {
		t.Errorf("exit %+v", e)
	}
}

// kernelTells tells whether the kernel tells everybody how a process ended: Linux 6.15.
func kernelTells(t *testing.T) bool {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	version := strings.SplitN(unix.ByteSliceToString(u.Release[:]), ".", 3)
	major, _ := strconv.Atoi(version[0])
	minor, _ := strconv.Atoi(version[1])
	return major > 6 || major == 6 && minor >= 15
}

// TestWatchRecordsAnEndAtOnce, so that those who look later, in whichever process, know how it ended.
func TestWatchRecordsAnEndAtOnce(t *testing.T) {
	r := newRig(t)
	r.watched()
	i := r.Start(shell("web", "exec sleep 1000")).Instance
	unix.Kill(i.PID, unix.SIGKILL)
	other := r.another().store
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		rec, err := other.read("web")
		if err != nil {
			t.Fatal(err)
		}
		if e := rec.Instance.Exit; e != nil {
			if e.Signal != "SIGKILL" || rec.Ended == 0 {
				t.Errorf("recorded is %+v", e)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nobody looks, and nothing is recorded")
		}
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err := procfs.ReadStat(i.PID); errors.Is(err, procfs.ErrGone) {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("our child isn't reaped: %v", err)
		}
	}
}

// TestWatchFollowsTheMainProcess from one to the next.
func TestWatchFollowsTheMainProcess(t *testing.T) {
	r := newRig(t)
	told := r.watched()
	r.Start(shell("web", `setsid sh -c 'echo ready; exec sleep 1000' & sleep 0.1; exit 0`))
	r.Says("web", "ready")
	first := r.Look("web").Instance.PID
	o := r.Until("web", func(o spec.Observed) bool { return o.Instance.PID != first })
	unix.Kill(o.Instance.PID, unix.SIGKILL)
	r.hearsEnd(told, "web")
}

// TestCancelledStopIsWatchedAgain: the daemon goes on, and so does the watch for its end.
func TestCancelledStopIsWatchedAgain(t *testing.T) {
	r := newRig(t)
	told := r.watched()
	d := shell("web", "trap '' TERM; echo ready; while :; do sleep 1; done")
	i := r.Start(d).Instance
	r.Says("web", "ready")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := r.Apply(ctx, r.Step(spec.VerbStop, d)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	if o := r.Look("web"); o.State != spec.Running {
		t.Errorf("nobody stops it any more, and it is %s", o.State)
	}
	unix.Kill(i.PID, unix.SIGKILL)
	if e := r.hearsEnd(told, "web").Instance.Exit; e == nil || !e.Asked {
		t.Errorf("exit %+v: it was asked to end", e)
	}
}

func TestWatchEndsWithItsDirectory(t *testing.T) {
	r := newRig(t)
	done := make(chan error, 1)
	armed := make(chan string, 10)
	go func() { done <- r.Watch(t.Context(), func(name string) { armed <- name }) }()
	<-armed
	if err := os.RemoveAll(r.store.dir); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err == nil || !strings.Contains(err.Error(), "it was removed") {
			t.Errorf("got %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the watch goes on without its directory")
	}
}

// TestWatchTellsOnceForAStep, although the step writes the record more than once.
func TestWatchTellsOnceForAStep(t *testing.T) {
	r := newRig(t)
	told := r.watched()
	d := want("web", "/bin/sleep", "1000")
	r.Start(d)
	r.Do(spec.VerbStop, d)
	r.Start(d)
	r.another().Start(want("last", "/bin/sleep", "1000")) // what is told of that comes from the same folder, after all of the others
	var heard []string
	for name := ""; name != "last"; heard = append(heard, name) {
		name = <-told
	}
	if !slices.Equal(heard, []string{"web", "web", "web", "last"}) {
		t.Errorf("three steps, and another one's, were told as %q", heard)
	}
}

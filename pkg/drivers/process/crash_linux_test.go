package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/failpoint"
	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// The variables that make this program the other process of a test: the directory to work in, the verbs to apply to the daemon web, and the marker of its processes.
const (
	childDir    = "PROCESS_TEST_DIR"
	childVerbs  = "PROCESS_TEST_VERBS"
	childMarker = "PROCESS_TEST_MARKER"
)

// crasher is a daemon with a child, both of which can be found by the marker in their arguments. The child ignores what it is asked.
func crasher(marker string) *spec.Daemon {
	d := want("web", "/bin/sh", "-c", `(trap '' TERM; exec sleep "$0") & exec sleep "$0"`, marker)
	d.Spec.Stop.GracePeriod = spec.Duration(20 * time.Millisecond)
	return d
}

// beChild applies the verbs, like a command does, and ends the program.
func beChild() {
	d, err := New(Options{Dirs: layout.Under(os.Getenv(childDir))})
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	for verb := range strings.FieldsSeq(os.Getenv(childVerbs)) {
		daemon := crasher(os.Getenv(childMarker))
		o, err := d.Observe(ctx, "web")
		if err != nil {
			panic(err)
		}
		s := spec.Step{Verb: spec.Verb(verb), Name: "web", Want: daemon, Generation: 1, Stop: daemon.Spec.Stop}
		if i := o[0].Instance; i != nil {
			s.Instance = i.ID
		}
		if verb == "Crash" { // the daemon's main process, not ours
			if i := o[0].Instance; i != nil && i.PID != 0 {
				unix.Kill(i.PID, unix.SIGKILL)
			}
			continue
		}
		if err := d.Apply(ctx, s); err != nil && !errors.Is(err, drivers.ErrMoved) {
			panic(err)
		}
	}
	os.Exit(0)
}

// marked returns the living processes with a marker among their arguments: those that lead a session, of which each copy of the daemon is one, and all.
func marked(t testing.TB, marker string) (leaders, all []int) {
	t.Helper()
	for pid, err := range procfs.PIDs() {
		if err != nil {
			t.Fatal(err)
		}
		args, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
		if err != nil || !bytes.HasSuffix(args, []byte("\x00"+marker+"\x00")) {
			continue
		}
		st, err := procfs.ReadStat(pid)
		if err != nil || st.Dead() {
			continue
		}
		all = append(all, pid)
		if st.Session == st.PID {
			leaders = append(leaders, pid)
		}
	}
	return leaders, all
}

// markers are unlikely numbers of seconds to sleep.
func newMarker(n int) string { return fmt.Sprintf("%d%06d.%04d", 9, os.Getpid(), n) }

// crashing builds this test program with failpoints.
var crashing = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "process-test-")
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, "process.test")
	out, err := exec.Command("go", "test", "-c", "-tags", "failpoints", "-o", program, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the test program with failpoints: %w: %s", err, out)
	}
	return program, nil
})

// TestKilledAtAnyPoint kills a process between any two effects of any step, and looks what that leaves: never two copies, nothing unknown, and whoever comes
// next makes it right.
func TestKilledAtAnyPoint(t *testing.T) {
	program, err := crashing()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(filepath.Dir(program)) })
	const verbs = "Start Stamp Stop Start Crash Start Start Stop Remove"
	for i, point := range failpoint.Names() {
		t.Run(string(point), func(t *testing.T) {
			t.Parallel()
			passed := false
			for nth := 1; ; nth++ {
				marker := newMarker(i*100 + nth)
				dirs := t.TempDir()
				child := exec.Command(program)
				child.Env = append(os.Environ(), childDir+"="+dirs, childVerbs+"="+verbs, childMarker+"="+marker, fmt.Sprintf("%s=%s:%d", failpoint.Env, point, nth))
				out, err := child.CombinedOutput()
				killed := child.ProcessState.Sys().(syscall.WaitStatus).Signaled()
				if err != nil && !killed {
					t.Fatalf("the process that was to be killed: %v\n%s", err, out)
				}
				afterwards(t, layout.Under(dirs), marker)
				if !killed {
					break
				}
				passed = true
			}
			if !passed && !elsewhere(point) {
				t.Error("no step passes this point")
			}
		})
	}
}

// elsewhere tells whether a point is one that these steps don't pass: the config files, logs and cgroups of a daemon are others' to test.
func elsewhere(p failpoint.Point) bool {
	for _, room := range []string{"log.", "files.", "state.", "file.", "leaf.", "pause.", "unit."} {
		if strings.HasPrefix(string(p), room) {
			return true
		}
	}
	return p == failpoint.StopPosted || p == failpoint.StopSignalled
}

// afterwards looks at what a process left that was killed, and brings the daemon to life and to its end.
func afterwards(t *testing.T, dirs layout.Dirs, marker string) {
	t.Helper()
	r := &rig{t, newDriver(t, dirs)}
	defer r.killAll()
	r.wantTruth(marker)
	d := crasher(marker)
	r.apply(spec.VerbStart, d)
	if o := r.look1("web"); o.State != spec.Running || o.Stamp == nil || o.Stamp.Digest != d.Digest {
		t.Errorf("after a start it is %s", o.State)
	}
	r.wantTruth(marker)
	r.apply(spec.VerbStop, d)
	if _, all := marked(t, marker); len(all) != 0 {
		t.Errorf("after a stop processes %v are alive", all)
	}
	r.apply(spec.VerbRemove, d)
	if o := r.look1("web"); o.State != spec.Absent {
		t.Errorf("after the removal it is %s", o.State)
	}
}

// wantTruth fails unless what the driver sees of web is what there is, and that is one copy at most: a leader, or the child of one that was killed unseen,
// because nobody knows then that it wasn't the leader's will to leave the child alone. The two looks aren't one: a signal may be on its way, and a process that
// is just executing a program has no arguments.
func (r *rig) wantTruth(marker string) {
	r.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		o := r.look1("web")
		leaders, all := marked(r.TB, marker)
		switch {
		case o.State == spec.Absent && len(all) == 0, o.State == spec.Exited && len(leaders) == 0:
			return
		case o.State == spec.Running && slices.Contains(all, o.Instance.PID) && (len(leaders) == 0 || slices.Equal(leaders, []int{o.Instance.PID})):
			return
		case len(leaders) > 1 || time.Now().After(deadline):
			r.Fatalf("it is %s (%s), instance %+v; alive are leaders %v of processes %v", o.State, o.Message, o.Instance, leaders, all)
		}
	}
}

// TestProcessesAtOnce has several processes apply contradicting steps to the same daemon, some of them killed at any instant.
func TestProcessesAtOnce(t *testing.T) {
	dirs, marker := t.TempDir(), newMarker(9999)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i, verbs := range []string{"Start Start Start", "Start Stop Start", "Start Crash Start Stop", "Start Stop Remove"} {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				child := exec.Command(os.Args[0])
				child.Env = append(os.Environ(), childDir+"="+dirs, childVerbs+"="+verbs, childMarker+"="+marker)
				if err := child.Start(); err != nil {
					t.Error(err)
					return
				}
				if n%2 == 0 {
					time.Sleep(time.Duration(17*i+13*n%97) * time.Millisecond)
					child.Process.Kill()
				}
				child.Wait()
			}
		})
	}
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); {
		if leaders, _ := marked(t, marker); len(leaders) > 1 {
			// One of the two may be the launch of a copy whose predecessor is just going: look at whether they stay.
			time.Sleep(200 * time.Millisecond)
			if again, _ := marked(t, marker); len(again) > 1 && again[0] == leaders[0] && again[1] == leaders[1] {
				t.Errorf("copies %v live together", again)
			}
		}
		time.Sleep(time.Millisecond)
	}
	close(stop)
	wg.Wait()
	afterwards(t, layout.Under(dirs), marker)
}

package process

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"reconciler.dev/reconciler/internal/failpoint"
	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

// The variables that tell the other process of a test the directory to work in and the marker of the daemon's processes.
const (
	otherDir    = "PROCESS_TEST_DIR"
	otherMarker = "PROCESS_TEST_MARKER"
)

// other returns another process, with another driver.
func other(program, verbs, dir, marker string) *exec.Cmd {
	return driverstest.Another(program, verbs, otherDir+"="+dir, otherMarker+"="+marker)
}

// beKilled is that process, and ends the program.
func beKilled() {
	d, err := New(Options{Dirs: layout.Under(os.Getenv(otherDir))})
	if err != nil {
		panic(err)
	}
	if err := driverstest.BeKilled(context.Background(), d, crasher(os.Getenv(otherMarker)), nil); err != nil {
		panic(err)
	}
	os.Exit(0)
}

// crasher is a daemon with a child, both of which can be found by the marker in their arguments. The child ignores what it is asked.
func crasher(marker string) *spec.Daemon {
	d := want("web", "/bin/sh", "-c", `(trap '' TERM; exec sleep "$0") & exec sleep "$0"`, marker)
	d.Spec.Stop.GracePeriod = spec.Duration(20 * time.Millisecond)
	return d
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

// TestKilledAtAnyPoint kills a process between any two effects of any step, and looks what that leaves: never two copies, nothing unknown, and whoever comes
// next makes it right.
func TestKilledAtAnyPoint(t *testing.T) {
	program := driverstest.WithFailpoints(t)
	for i, point := range failpoint.Names() {
		t.Run(string(point), func(t *testing.T) {
			t.Parallel()
			passed := driverstest.KilledAt(t, point, func(nth int) (*exec.Cmd, func()) {
				dir, marker := t.TempDir(), newMarker(i*100+nth)
				return other(program, driverstest.LifeVerbs, dir, marker), func() { afterwards(t, layout.Under(dir), marker) }
			})
			if !passed && !elsewhere(point) {
				t.Error("no step passes this point")
			}
		})
	}
}

// elsewhere tells whether a point is one that these steps don't pass: the config files, logs and cgroups of a daemon are others' to test.
func elsewhere(p failpoint.Point) bool {
	for _, room := range []string{"log.", "files.", "state.", "file.", "leaf.", "pause.", "unit.", "program.", "adopt.", "listen.", "slot."} {
		if strings.HasPrefix(string(p), room) {
			return true
		}
	}
	return p == failpoint.StopPosted || p == failpoint.StopSignalled
}

// afterwards looks at what a process left that was killed, and brings the daemon to life and to its end.
func afterwards(t *testing.T, dirs layout.Dirs, marker string) {
	t.Helper()
	r := rigOver(t, dirs)
	defer r.killAll()
	r.LivesAndEnds(crasher(marker), func() { r.wantTruth(marker) })
	if _, all := marked(t, marker); len(all) != 0 {
		t.Errorf("after all processes %v are alive", all)
	}
}

// wantTruth fails unless what the driver sees of web is what there is, and that is one copy at most: a leader, or the child of one that was killed unseen,
// because nobody knows then that it wasn't the leader's will to leave the child alone. The two looks aren't one: a signal may be on its way, and a process that
// is just executing a program has no arguments.
func (r *rig) wantTruth(marker string) {
	r.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		o := r.Look("web")
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
				child := other(os.Args[0], verbs, dirs, marker)
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

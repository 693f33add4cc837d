package cgroup

import (
	"errors"
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

	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/process"
	"reconciler.dev/reconciler/pkg/spec"
)

func unmarked(t *testing.T) {
	r := fresh(t)
	dir := filepath.Join(r.sub.dir(r.group), "reconciler.slice/web")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	stranger := exec.Command("/bin/sleep", "1000")
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	stranger.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: fd}
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	d := want("web", "/bin/sleep", "1000")
	if _, err := r.Check(t.Context(), d); !errors.Is(err, drivers.ErrConflict) || !strings.Contains(err.Error(), dir+" is there: it isn't marked as ours") {
		t.Errorf("a check: %v", err)
	}
	for _, verb := range []spec.Verb{spec.VerbStart, spec.VerbStop, spec.VerbRemove} {
		if err := r.Apply(t.Context(), r.Step(verb, d)); verb == spec.VerbStart && !errors.Is(err, drivers.ErrConflict) || verb != spec.VerbStart && err != nil {
			t.Errorf("%s: %v", verb, err)
		}
	}
	if got := r.procs("reconciler.slice/web"); !slices.Equal(got, []int{stranger.Process.Pid}) {
		t.Errorf("in its group are %v, and it was %d", got, stranger.Process.Pid)
	}
	stranger.Process.Kill()
	stranger.Wait()
	r.wantGroups("reconciler.slice", "reconciler.slice/web")
}

func otherReconciler(t *testing.T) {
	r := fresh(t)
	d := want("web", "/bin/sleep", "1000")
	i := r.Start(d).Instance
	other := newRig(t, layout.Under(t.TempDir()), r.group)
	if names, err := other.List(t.Context()); err != nil || len(names) > 0 {
		t.Errorf("it lists %v, %v", names, err)
	}
	if o := other.Look("web"); o.State != spec.Absent || o.Foreign != "" {
		t.Errorf("it is %s, foreign %q", o.State, o.Foreign)
	}
	if _, err := other.Check(t.Context(), d); !errors.Is(err, drivers.ErrConflict) || !strings.Contains(err.Error(), "another reconciler, which keeps "+r.dirs.Run) {
		t.Errorf("a check: %v", err)
	}
	if err := other.Apply(t.Context(), other.Step(spec.VerbStart, d)); !errors.Is(err, drivers.ErrConflict) {
		t.Errorf("got %v", err)
	}
	if o := r.Look("web"); o.State != spec.Running || o.Instance.ID != i.ID {
		t.Errorf("it is %s", o.State)
	}
}

// lostRecord: a daemon whose record is gone, or all of the state, is the same daemon to everybody.
func lostRecord(t *testing.T) {
	for name, use := range map[string]func(*rig, *spec.Daemon, *spec.Instance){
		"list": func(r *rig, _ *spec.Daemon, _ *spec.Instance) {
			if names, err := r.List(t.Context()); err != nil || !slices.Equal(names, []string{"web"}) {
				t.Errorf("it lists %v, %v", names, err)
			}
		},
		"processes": func(r *rig, _ *spec.Daemon, i *spec.Instance) {
			if pids, err := r.PIDs(t.Context(), "web"); err != nil || !slices.Contains(pids, i.PID) || len(pids) != 2 {
				t.Errorf("its processes are %v, %v", pids, err)
			}
		},
		"start": func(r *rig, d *spec.Daemon, i *spec.Instance) {
			if o := r.Do(spec.VerbStart, d); o.Instance.ID != i.ID {
				t.Errorf("a start made instance %s of %s", o.Instance.ID, i.ID)
			}
		},
		"a start that was planned against nothing": func(r *rig, d *spec.Daemon, i *spec.Instance) {
			s := r.Step(spec.VerbStart, d)
			r.forget()
			s.Instance = ""
			if err := r.Apply(t.Context(), s); !errors.Is(err, drivers.ErrMoved) || len(r.procs("reconciler.slice/web")) != 2 {
				t.Errorf("got %v", err)
			}
		},
		"stop": func(r *rig, d *spec.Daemon, _ *spec.Instance) {
			if o := r.Do(spec.VerbStop, d); o.State != spec.Exited || !o.Instance.Exit.Asked {
				t.Errorf("it is %s: %+v", o.State, o.Instance)
			}
			r.wantGroups()
		},
		"stamp": func(r *rig, d *spec.Daemon, i *spec.Instance) {
			s := r.Step(spec.VerbStamp, d)
			r.forget()
			s.Generation = 2
			if err := r.Apply(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			r.forget()
			if o := r.Look("web"); o.Stamp.Generation != 2 || o.Instance.Generation != 1 || o.Instance.PID != i.PID {
				t.Errorf("it is %+v, instance %+v", o.Stamp, o.Instance)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := fresh(t)
			d := shell("web", "sleep 1000 & exec sleep 1000")
			d.Labels = map[string]string{"app": "web"}
			before := r.Start(d)
			r.Until("web", func(spec.Observed) bool { return len(r.procs("reconciler.slice/web")) == 2 })
			r.forget()
			r = r.another()
			use(r, d, before.Instance)
			if name == "stop" {
				return
			}
			o := r.Look("web")
			if o.State != spec.Running || o.Instance.PID != before.Instance.PID || o.Instance.StartTicks != before.Instance.StartTicks || o.Instance.ID != before.Instance.ID {
				t.Errorf("it is %s (%s): %+v", o.State, o.Message, o.Instance)
			}
			if diff := cmp.Diff(before.Stamp.Spec, o.Stamp.Spec); diff != "" || o.Stamp.Digest != d.Digest || o.Stamp.Labels["app"] != "web" {
				t.Errorf("its stamp (-before +after):\n%s", diff)
			}
			if _, err := os.Stat(filepath.Join(r.dirs.Run, "cgroup", "web.json")); err != nil {
				t.Errorf("no record was made: %v", err)
			}
			r.Do(spec.VerbStop, d)
			r.wantGroups()
		})
	}
}

// forget loses all records.
func (r *rig) forget() {
	r.Helper()
	if err := os.RemoveAll(r.dirs.Run); err != nil {
		r.Fatal(err)
	}
}

func lostRecordAndProcess(t *testing.T) {
	r := fresh(t)
	d := want("web", "/bin/sleep", "1000")
	i := r.Start(d).Instance
	unix.Kill(i.PID, unix.SIGKILL)
	r.Until("web", func(spec.Observed) bool { return len(r.procs("reconciler.slice/web")) == 0 })
	r.forget()
	if o := r.Look("web"); o.State != spec.Exited || o.Stamp.Digest != d.Digest {
		t.Errorf("it is %s", o.State)
	}
	if next := r.Start(d); next.Instance.ID == i.ID {
		t.Error("it is the instance that ended")
	}
	r.Do(spec.VerbStop, d)
	r.Do(spec.VerbRemove, d)
	r.wantGroups()
	if names, err := r.List(t.Context()); err != nil || len(names) > 0 {
		t.Errorf("left is %v, %v", names, err)
	}
}

func damagedPlace(t *testing.T) {
	r := fresh(t)
	stranger := exec.Command("/bin/sleep", "1000")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	d := want("web", "/bin/sleep", "1000")
	r.Start(d)
	for _, place := range []string{"/", "/..", "", "reconciler.slice/web", "/test"} {
		if _, err := (&trees{sub: r.sub, run: r.dirs.Run}).leafOf(process.Tree{Name: "web", ID: "x", Place: place}); err == nil && place != "" {
			t.Errorf("%q is taken for a leaf", place)
		}
	}
	if err := stranger.Process.Kill(); err != nil {
		t.Error("the stranger was killed")
	}
	stranger.Wait()
}

// movedAway: somebody moves the main process into another group. That is seen, and a stop ends it all the same.
func movedAway(t *testing.T) {
	r := fresh(t)
	d := shell("web", `trap '' TERM; echo ready; while :; do sleep 0.01; done`)
	d.Spec.Stop.GracePeriod = spec.Duration(50 * time.Millisecond)
	o := r.Start(d)
	r.Says("web", "ready")
	other := filepath.Join(r.sub.dir(r.group), "other")
	if err := os.Mkdir(other, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(filepath.Join(other, "cgroup.procs"), strconv.Itoa(o.Instance.PID)); err != nil {
		t.Fatal(err)
	}
	want := []spec.Drift{{Field: "spec.cgroup", Want: o.Cgroup, Have: r.group + "/other", Class: spec.Restarted}}
	o = r.Look("web")
	if diff := cmp.Diff(want, o.Drift); diff != "" || o.State != spec.Running {
		t.Errorf("it is %s, drift (-want +have):\n%s", o.State, diff)
	}
	r.Do(spec.VerbStop, d)
	if st, err := procfs.ReadStat(o.Instance.PID); err == nil && !st.Dead() {
		t.Errorf("its process lives: %+v", st)
	}
	r.Until("web", func(spec.Observed) bool { return len(r.procs("other")) == 0 })
	r.wantGroups("other")
}

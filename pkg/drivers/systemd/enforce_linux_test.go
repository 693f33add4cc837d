package systemd

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/internal/testprog"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
	"reconciler.dev/reconciler/test/labhost"
)

// TestLimitsAreEnforced: on a kernel that has them, limits hold, are told as the kernel has them, change under a daemon that runs, and are put right where somebody changed
// them.
func TestLimitsAreEnforced(t *testing.T) {
	labhost.Test(t, labhost.LimitsSystemd, func(t *testing.T) {
		t.Run("change live", func(t *testing.T) { limitsChangeLive(newRig(t)) })
		t.Run("tampered with", func(t *testing.T) { limitsTampered(newRig(t)) })
		t.Run("out of memory", func(t *testing.T) { outOfMemory(newRig(t)) })
		t.Run("required and not to be had", func(t *testing.T) { limitRequired(newRig(t)) })
	})
}

func limited(c spec.Cgroup) func(*spec.Daemon, *testprog.Options) {
	return func(d *spec.Daemon, _ *testprog.Options) { d.Spec.Cgroup = &c }
}

// enforces fails unless these are the limits that the daemon has, and none is lost.
func (r *rig) enforces(o spec.Observed, want ...spec.Limit) {
	r.Helper()
	if d := cmp.Diff(want, o.Limits); d != "" || len(o.Lost) != 0 || len(o.Drift) != 0 {
		r.Errorf("limits (-want +got):\n%s\nlost %+v, drift %+v", d, o.Lost, o.Drift)
	}
}

// inCgroup is what a file of the daemon's cgroup says, empty where the controller isn't enabled.
func (r *rig) inCgroup(o spec.Observed, file string) string {
	r.Helper()
	text, err := os.ReadFile(filepath.Join("/sys/fs/cgroup", o.Cgroup, file))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		r.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

func limitsChangeLive(r *rig) {
	count := r.reloadsOf()
	before := r.begin(r.daemon("web", limited(spec.Cgroup{Slice: "shop.slice", CPULimit: 500, MemoryLimit: 64 << 20, PidsLimit: 50})))
	r.enforces(before, spec.Limit{Field: "spec.cgroup.cpuLimit", Value: "50%"}, spec.Limit{Field: "spec.cgroup.memoryLimit", Value: "64M"}, spec.Limit{Field: "spec.cgroup.pidsLimit", Value: "50"})
	after := r.must(spec.VerbStamp, r.daemon("web", limited(spec.Cgroup{Slice: "shop.slice", CPULimit: 250, MemoryLimit: 128 << 20, CPUWeight: 30})))
	r.enforces(after, spec.Limit{Field: "spec.cgroup.cpuLimit", Value: "25%"}, spec.Limit{Field: "spec.cgroup.memoryLimit", Value: "128M"}, spec.Limit{Field: "spec.cgroup.cpuWeight", Value: "30"})
	if after.Instance.PID != before.Instance.PID || after.Instance.ID != before.Instance.ID {
		r.Errorf("to change limits cost the process: %+v became %+v", before.Instance, after.Instance)
	}
	if got := r.inCgroup(after, "pids.max"); got != "max" {
		r.Errorf("a limit that was taken away is still %s", got)
	}
	r.wantReloads(count, 0)
	r.systemctl("daemon-reload")
	r.enforces(r.look("web"), after.Limits...)
}

func limitsTampered(r *rig) {
	d := r.daemon("web", limited(spec.Cgroup{PidsLimit: 50, MemoryLimit: 64 << 20}))
	before := r.begin(d)
	for _, c := range []struct {
		what   string
		do     func()
		fields []string
	}{
		{"a write to the cgroup", func() { r.write(filepath.Join("/sys/fs/cgroup", before.Cgroup, "pids.max"), "99") }, []string{"spec.cgroup.pidsLimit"}},
		{"set-property", func() { r.systemctl("set-property", "web.service", "MemoryMax=99M") }, []string{"unit.dropIn", "spec.cgroup.memoryLimit"}},
		{"set-property of what isn't limited", func() { r.systemctl("set-property", "--runtime", "web.service", "CPUQuota=5%") }, []string{"unit.dropIn"}},
	} {
		c.do()
		var got []string
		for _, drift := range r.look("web").Drift {
			got = append(got, drift.Field)
			if drift.Class != spec.Live {
				r.Errorf("%s: %+v isn't put right live", c.what, drift)
			}
		}
		if d := cmp.Diff(c.fields, got); d != "" {
			r.Errorf("%s (-want +got):\n%s", c.what, d)
		}
		after := r.must(spec.VerbStamp, d)
		r.enforces(after, before.Limits...)
		if after.Instance.PID != before.Instance.PID {
			r.Errorf("%s: to put it right cost the process", c.what)
		}
		if got := r.inCgroup(after, "cpu.max"); got != "" && got != "max 100000" {
			r.Errorf("%s: left is a limit of %s", c.what, got)
		}
	}
}

func outOfMemory(r *rig) {
	d := r.daemon("hungry", func(d *spec.Daemon, _ *testprog.Options) {
		d.Spec.Cgroup, d.Spec.Restart.Policy = &spec.Cgroup{MemoryLimit: 16 << 20}, spec.RestartNever
	})
	d.Spec.Binary, d.Spec.Args = "/usr/bin/tail", []string{"/dev/zero"}
	r.must(spec.VerbStart, r.seal(d))
	r.eventually("it has ended", func() bool { return r.look("hungry").State == spec.Exited })
	if e := r.look("hungry").Instance.Exit; e == nil || !e.OOMKilled || !e.Known || e.Signal != "SIGKILL" {
		r.Errorf("its end is %+v", e)
	}
}

func limitRequired(r *rig) {
	d := r.daemon("web", limited(spec.Cgroup{IOWeight: 50})) // which this kernel hasn't, though it has an io controller
	if o := r.begin(d); len(o.Lost) != 1 || o.Lost[0].Field != "spec.cgroup.ioWeight" || !strings.Contains(o.Lost[0].Reason, "no io.weight") {
		r.Errorf("lost is %+v", o.Lost)
	}
	d = r.daemon("api", limited(spec.Cgroup{IOWeight: 50, Required: true}))
	if err := r.Apply(r.Context(), r.step(spec.VerbStart, d)); !errors.Is(err, drivers.ErrUnsupported) || !strings.Contains(err.Error(), "cgroup.ioWeight") {
		r.Errorf("a limit that is required and not to be had: %v", err)
	}
	if o := r.look("api"); o.State != spec.Absent {
		r.Errorf("left is %+v", o)
	}
}

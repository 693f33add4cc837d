package systemd

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/godbus/dbus/v5"

	"reconciler.dev/reconciler/internal/testprog"
	"reconciler.dev/reconciler/pkg/spec"
	"reconciler.dev/reconciler/test/labhost"
)

// TestReloads: the manager is had to read all of its units again only where nothing else helps, and then once for any number of daemons.
func TestReloads(t *testing.T) {
	for _, kind := range []labhost.Kind{labhost.Systemd, labhost.SystemdUser} {
		t.Run(string(kind), func(t *testing.T) {
			labhost.Test(t, kind, func(t *testing.T) {
				t.Run("none to create, change, restart and delete daemons", func(t *testing.T) { noReload(newRig(t)) })
				t.Run("none to change limits or a stamp of what runs", func(t *testing.T) { noReloadLive(newRig(t)) })
				t.Run("one to change many that the boot target names", func(t *testing.T) { oneReloadForPinned(newRig(t)) })
				t.Run("one to delete many that the boot target names", func(t *testing.T) { oneReloadForRemovals(newRig(t)) })
				t.Run("one to change how many that run are stopped", func(t *testing.T) { oneReloadForLive(newRig(t)) })
			})
		})
	}
}

// reloadsOf counts the reloads of the manager, whoever asks for them, until the returned function is called.
func (r *rig) reloadsOf() func() int64 {
	r.Helper()
	l, err := dial(r.Context(), &r.scope)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(l.close)
	var n atomic.Int64
	if err := l.attach(&ear{gone: make(chan struct{}), hear: func(s *dbus.Signal) {
		if s.Name == managerInterface+".Reloading" && s.Body[0] == true {
			n.Add(1)
		}
	}}); err != nil {
		r.Fatal(err)
	}
	return func() int64 {
		r.Helper()
		if err := l.nudge(r.Context()); err != nil { // what was told before is heard then
			r.Fatal(err)
		}
		return n.Load()
	}
}

func (r *rig) wantReloads(count func() int64, want int64) {
	r.Helper()
	if got := count(); got != want || r.Reloads() != want {
		r.Errorf("the manager was reloaded %d times and the driver tells of %d, want %d", got, r.Reloads(), want)
	}
}

// argued is a daemon with an argument of its own.
func argued(arg string) func(*spec.Daemon, *testprog.Options) {
	return func(_ *spec.Daemon, o *testprog.Options) { o.Rest = []string{arg} }
}

// runsWith fails unless the daemon that reported last did so with that argument.
func (r *rig) runsWith(name, arg string) {
	r.Helper()
	r.eventually(name+" runs with "+arg, func() bool {
		lines := r.report(name)
		if len(lines) == 0 {
			return false
		}
		args := lines[len(lines)-1].Args
		return string(args[len(args)-1]) == arg
	})
}

func noReload(r *rig) {
	count := r.reloadsOf()
	for i := range 5 {
		arg := fmt.Sprint("version ", i)
		d := r.daemon("web", argued(arg))
		if i > 0 {
			r.must(spec.VerbStop, d)
		}
		r.must(spec.VerbStart, d)
		r.runsWith("web", arg)
	}
	r.run("kill", "-9", fmt.Sprint(r.look("web").Instance.PID))
	r.eventually("it runs again", func() bool { o := r.look("web"); return o.State == spec.Running && o.Instance.Restarts == 1 })
	never := r.daemon("job", func(d *spec.Daemon, o *testprog.Options) { d.Spec.Restart.Policy, o.Exit = spec.RestartNever, 3 })
	r.must(spec.VerbStart, never)
	r.eventually("it has failed", func() bool { return r.look("job").State == spec.Exited })
	changed := r.daemon("job", argued("again"), func(d *spec.Daemon, _ *testprog.Options) { d.Spec.Restart.Policy = spec.RestartNever })
	r.must(spec.VerbStart, changed)
	r.runsWith("job", "again")
	for _, d := range []*spec.Daemon{r.daemon("web"), changed} {
		r.must(spec.VerbStop, d)
		if o := r.must(spec.VerbRemove, d); o.State != spec.Absent || o.Foreign != "" {
			r.Errorf("after the removal there is %+v", o)
		}
	}
	r.must(spec.VerbStart, r.daemon("web", argued("anew")))
	r.runsWith("web", "anew")
	r.wantReloads(count, 0)
}

func noReloadLive(r *rig) {
	count := r.reloadsOf()
	d := r.daemon("web")
	before := r.begin(d).Instance
	d = r.daemon("web", func(d *spec.Daemon, _ *testprog.Options) {
		d.Labels = map[string]string{"app": "web"}
		d.Spec.Cgroup = &spec.Cgroup{PidsLimit: 55}
	})
	after := r.must(spec.VerbStamp, d)
	if after.Instance.ID != before.ID || after.Instance.PID != before.PID || len(after.Drift) != 0 {
		r.Errorf("%+v became %+v, drift %+v", before, after.Instance, after.Drift)
	}
	if got := r.systemctl("show", "web.service", "--property=TasksMax,NeedDaemonReload"); got != "TasksMax=55\nNeedDaemonReload=no\n" && got != "NeedDaemonReload=no\nTasksMax=55\n" {
		r.Errorf("the manager says\n%s", got)
	}
	d = r.daemon("web", argued("without a limit"))
	r.must(spec.VerbStop, d)
	r.must(spec.VerbStart, d)
	if got := r.systemctl("show", "web.service", "--property=TasksMax"); got != "TasksMax=infinity\n" {
		r.Errorf("a limit that was taken away is still there: %s", got)
	}
	r.wantReloads(count, 0)
}

// pinned starts n daemons and has the boot target name them, as after a reboot.
func (r *rig) pinned(n int) (ds []*spec.Daemon) {
	r.Helper()
	for i := range n {
		ds = append(ds, r.daemon(fmt.Sprint("web", i)))
	}
	r.each(ds, func(d *spec.Daemon) error { return r.Apply(r.Context(), r.step(spec.VerbStart, d)) })
	r.systemctl("daemon-reload")
	return ds
}

func (r *rig) each(ds []*spec.Daemon, do func(*spec.Daemon) error) {
	r.Helper()
	var wg sync.WaitGroup
	for _, d := range ds {
		wg.Go(func() {
			if err := do(d); err != nil {
				r.Error(err)
			}
		})
	}
	wg.Wait()
	if r.Failed() {
		r.FailNow()
	}
}

func oneReloadForPinned(r *rig) {
	ds := r.pinned(20)
	count := r.reloadsOf()
	r.each(ds, func(d *spec.Daemon) error {
		next := r.daemon(d.Name, argued("changed"))
		if err := r.Apply(r.Context(), r.step(spec.VerbStop, next)); err != nil {
			return err
		}
		return r.Apply(r.Context(), r.step(spec.VerbStart, next))
	})
	for _, d := range ds {
		r.runsWith(d.Name, "changed")
		if _, err := os.Lstat(filepath.Join(r.scope.wants, d.Name+".service")); err != nil {
			r.Errorf("%s isn't enabled any more: %v", d.Name, err)
		}
	}
	if n := count(); n > 2 { // one for those that were there when it began, one for the rest; none ever after
		r.Errorf("%d reloads for %d daemons", n, len(ds))
	}
	before := count()
	for _, d := range ds[:3] {
		next := r.daemon(d.Name, argued("changed again"))
		r.must(spec.VerbStop, next)
		r.must(spec.VerbStart, next)
		r.runsWith(d.Name, "changed again")
	}
	if n := count(); n != before {
		r.Errorf("%d reloads more, though the boot target names none of them any longer", n-before)
	}
	if left, err := os.ReadDir(filepath.Join(r.scope.control(), filepath.Base(r.scope.wants))); err == nil {
		r.Errorf("left is %v", left)
	}
}

func oneReloadForRemovals(r *rig) {
	ds := r.pinned(10)
	count := r.reloadsOf()
	r.each(ds, func(d *spec.Daemon) error {
		if err := r.Apply(r.Context(), r.step(spec.VerbStop, d)); err != nil {
			return err
		}
		return r.Apply(r.Context(), r.step(spec.VerbRemove, d))
	})
	if n := count(); n > 2 {
		r.Errorf("%d reloads for %d daemons", n, len(ds))
	}
	if got := r.systemctl("list-units", "--all", "--no-legend", "web*.service"); got != "" {
		r.Errorf("the manager remembers\n%s", got)
	}
}

func oneReloadForLive(r *rig) {
	var ds []*spec.Daemon
	for i := range 10 {
		ds = append(ds, r.daemon(fmt.Sprint("web", i)))
	}
	r.each(ds, func(d *spec.Daemon) error { return r.Apply(r.Context(), r.step(spec.VerbStart, d)) })
	count := r.reloadsOf()
	r.each(ds, func(d *spec.Daemon) error {
		next := r.daemon(d.Name, func(d *spec.Daemon, _ *testprog.Options) { d.Spec.Stop.Signal = "SIGINT" })
		return r.Apply(r.Context(), r.step(spec.VerbStamp, next))
	})
	if n := count(); n > 2 || n == 0 {
		r.Errorf("%d reloads for %d daemons", n, len(ds))
	}
	for _, d := range ds {
		if got := r.systemctl("show", d.Name+".service", "--property=KillSignal"); got != "KillSignal=2\n" {
			r.Errorf("%s: %s", d.Name, got)
		}
	}
}

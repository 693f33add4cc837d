package reconcile

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

// TestTheTimelineSaysWhy: what happens to a daemon is in its events, with a reason that programs can rely on and a message for people.
func TestTheTimelineSaysWhy(t *testing.T) {
	old, bad := manifest("web", checked(), updated(), args("old")), manifest("web", checked(), updated(), args("new"))
	tests := []struct {
		name string
		do   func(t *testing.T, b *bench)
		want []string
	}{
		{"made", func(t *testing.T, b *bench) { b.mustApply(t, old) }, []string{"Started: web: generation 1 under process", "Ready: web: "}},
		{"killed for its memory", func(t *testing.T, b *bench) {
			k := keep(t, b, RunOptions{}, old)
			b.Fake().Crash("web", spec.Exit{Known: true, Signal: "SIGKILL", OOMKilled: true})
			k.after(time.Minute)
		}, []string{"Exited: web: the kernel killed it for its memory limit", "Started: web: generation 1 under process again: the kernel killed it for its memory limit"}},
		{"unhealthy, and well again", func(t *testing.T, b *bench) {
			k := keep(t, b, RunOptions{}, old)
			b.Probes(func(context.Context, string, spec.Health) error { return errors.New("GET /healthz: HTTP 503") })
			k.after(5 * time.Minute)
			b.Probes(nil)
			k.after(5 * time.Minute)
		}, []string{"Unhealthy: web: GET /healthz: HTTP 503", "Ready: web: "}},
		{"drift", func(t *testing.T, b *bench) {
			k := keep(t, b, RunOptions{}, old)
			b.Fake().Drift("web", spec.Drift{Field: "spec.cgroup.memoryLimit", Want: "64M", Have: "no\x1b[2Jlimit", Class: spec.Live},
				spec.Drift{Field: "unit Service.Environment", Have: "PASSWORD=hunter2", Class: spec.Live},
				spec.Drift{Field: "spec.files[a].content", Want: "sha256:" + strings.Repeat("a", 64), Have: "sha256:" + strings.Repeat("b", 64), Class: spec.Live})
			k.after(time.Minute)
		}, []string{`DriftRepaired: web: spec.cgroup.memoryLimit was no\x1b[2Jlimit, and is 64M again; unit Service.Environment is as it was applied again; spec.files[a].content was sha256:bbbbbbbbbbbb, and is sha256:aaaaaaaaaaaa again`}},
		{"an apply that goes back", func(t *testing.T, b *bench) {
			b.mustApply(t, old)
			b.crashesWith("new")
			_, _ = b.apply(t, ApplyOptions{}, PruneOptions{}, bad)
		}, []string{"Exited: web: it exited with status 3", "RollingBack: web: ", "RolledBack: web: generation 2 failed, and that of generation 1 is back, as generation 3: daemon web on localhost"}},
		{"a run that goes back", func(t *testing.T, b *bench) {
			b.mustApply(t, old)
			b.sickWith(t, "new")
			keep(t, b, RunOptions{}, bad).after(time.Minute)
		}, []string{"RollingBack: web: not Ready within 20s", "RolledBack: web: generation 2 failed, and that of generation 1 is back, as generation 3: not Ready within 20s"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench()
				tt.do(t, b)
				told, rest := b.reasons(t), tt.want
				for line := range strings.Lines(told) {
					if len(rest) > 0 && strings.HasPrefix(line, rest[0]) {
						rest = rest[1:]
					}
				}
				if len(rest) > 0 {
					t.Errorf("nothing says %q:\n%s", rest[0], told)
				}
			})
		})
	}
}

// TestWhatNobodySawIsToldAfterwards: a platform that restarts daemons by itself leaves the count and how the last one ended.
func TestWhatNobodySawIsToldAfterwards(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	now := func(id string, restarts int, last *spec.Exit) spec.Observed {
		return spec.Observed{Name: "web", State: spec.Running, Driver: spec.DriverSystemd, Instance: &spec.Instance{ID: id, Restarts: restarts, StartedAt: noon.Add(time.Second), Last: last}}
	}
	kept := func(id string, restarts int, ready string) spec.Status {
		return spec.Status{Name: "web", Instance: id, Restarts: restarts, Conditions: []spec.Condition{{Type: spec.Ready, Status: spec.False, Reason: ready}}}
	}
	crash := &spec.Exit{Known: true, Signal: "SIGSEGV", At: noon}
	again := "Started at 12:00:01: systemd started it again by itself"
	for _, c := range []struct {
		name string
		kept spec.Status
		now  spec.Observed
		want []string
	}{
		{"nothing is known of before", spec.Status{}, now("b", 3, crash), nil},
		{"the same instance", kept("a", 0, "Healthy"), now("a", 0, nil), nil},
		{"it ended once", kept("a", 2, "Healthy"), now("b", 3, crash), []string{"Exited at 12:00:00: it was killed by SIGSEGV", again}},
		{"its end was told", kept("a", 2, "CrashLoop"), now("b", 3, crash), []string{again}},
		{"it ended often", kept("a", 2, "Healthy"), now("e", 6, crash), []string{"Exited at 12:00:00: it ended 4 times since it was looked at last; the last time it was killed by SIGSEGV", again}},
		{"somebody stopped it, and started it again", kept("a", 2, "Healthy"), now("b", 3, &spec.Exit{Asked: true, At: noon}), nil},
		{"somebody started it anew", kept("a", 2, "Healthy"), now("b", 0, crash), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			host := driverstest.NewHost()
			if err := host.SetStatus(t.Context(), c.kept); err != nil {
				t.Fatal(err)
			}
			l := newLoop(New(host, Options{}), func(*loop) policy { return &keeping{} })
			en := &entry{name: "web", memory: new(memory)}
			for range 2 { // the second look tells nothing more
				l.tell(t.Context(), en, conclusion{observed: c.now})
			}
			var got []string
			err := host.Events(t.Context(), time.Time{}, false, func(e spec.Event) bool {
				got = append(got, e.Reason+" at "+e.At.Format(time.TimeOnly)+": "+e.Message)
				return true
			})
			if d := cmp.Diff(c.want, got); d != "" || err != nil {
				t.Error(d, err)
			}
		})
	}
}

// TestAnEndIsToldOnce, however many come and find the daemon ended.
func TestAnEndIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		once := manifest("web", func(d *spec.Daemon) { d.Spec.Restart.Policy = spec.RestartNever })
		b.mustApply(t, once)
		k := keep(t, b, RunOptions{}, once)
		b.Fake().Crash("web", spec.Exit{Known: true, Code: 7})
		k.after(time.Minute)
		_, _ = applyWith(t, b.engine(), ApplyOptions{}, PruneOptions{}, once)
		if told := b.reasons(t); strings.Count(told, "Exited: web: it exited with status 7") != 1 {
			t.Error(told)
		}
	})
}

// TestAStepIsToldTheSameEachTime, so that what happens again is counted: the words hold no number of a process; and why it was done only where that is news.
func TestAStepIsToldTheSameEachTime(t *testing.T) {
	web := &spec.Daemon{Spec: spec.Spec{Files: []spec.File{{Path: "/etc/web.conf"}, {Path: "/etc/web.d/a"}}, Install: &spec.Install{To: "/usr/local/bin/web"}}}
	for want, s := range map[string]spec.Step{
		"generation 1 under process":                                                 {Verb: spec.VerbStart, Driver: spec.DriverProcess, Generation: 1, Reason: notYet},
		"generation 4 under systemd":                                                 {Verb: spec.VerbStart, Driver: spec.DriverSystemd, Generation: 4, Reason: wasStopped},
		"generation 1 under cgroup again: it was killed by SIGKILL":                  {Verb: spec.VerbStart, Driver: spec.DriverCgroup, Generation: 1, Restart: true, Attempts: 9, Reason: "it was killed by SIGKILL"},
		"generation 2 under process, beside the one before: a restart was asked for": {Verb: spec.VerbStart, Driver: spec.DriverProcess, Generation: 2, Beside: true, Reason: "a restart was asked for"},
		"/etc/web.conf, /etc/web.d/a":                                                {Verb: spec.VerbFiles, Want: web, Reason: notYet},
		"/etc/web.conf, /etc/web.d/a: drift: spec.files[0]":                          {Verb: spec.VerbFiles, Want: web, Reason: "drift: spec.files[0]"},
		"the manifest changed: spec.files":                                           {Verb: spec.VerbFiles, Want: &spec.Daemon{}, Reason: "the manifest changed: spec.files"},
		"/usr/local/bin/web":                                                         {Verb: spec.VerbInstall, Want: web, Reason: notYet},
		"it stays stopped until a user starts it again":                              {Verb: spec.VerbPause, Reason: "a user stopped it"},
		"a user stopped it":                                                          {Verb: spec.VerbStop, Reason: "a user stopped it"},
		"it is no longer wanted":                                                     {Verb: spec.VerbRemove, Reason: "it is no longer wanted"},
	} {
		if got := story(s); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

package systemd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"reconciler.dev/reconciler/internal/testprog"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
	"reconciler.dev/reconciler/test/labhost"
)

// TestOnHosts: what only a real manager can show, the system's and a user's.
func TestOnHosts(t *testing.T) {
	for _, kind := range []labhost.Kind{labhost.Systemd, labhost.SystemdUser} {
		t.Run(string(kind), func(t *testing.T) {
			labhost.Test(t, kind, func(t *testing.T) {
				for _, c := range []struct {
					name string
					run  func(*rig)
				}{
					{"secrets are in no unit, no property and no journal", secretsStayHidden},
					{"a stop may take less time than the unit says", stopFaster},
					{"a stop may take more time than the unit says", stopSlower},
					{"a stop may be by another signal than the unit says", stopBySignal},
					{"what somebody else runs under the name is left alone", conflictsAreLeftAlone},
					{"a unit gets another name", unitIsRenamed},
					{"a unit that another one waits for is found once it is there", afterWhatIsMissing},
					{"a start that was cut off is repeated whole", cutOffStart},
					{"a manager that doesn't answer makes daemons unknown, and not absent", unreachable},
					{"a watch hears of edits, and outlives the manager's connection", watchHearsEdits},
					{"a watch knows how a daemon ended that the manager forgets", watchKnowsEnds},
					{"a failed start says what is the matter", failuresAreExplained},
					{"the journal has the output of this instance and of the one before", logsFromTheJournal},
					{"the journal has the output of both copies, also when one of them is gone", logsOfBothCopies},
					{"the manager is asked nothing of daemons that are as they were noted", lookingCostsOneCall},
				} {
					t.Run(c.name, func(t *testing.T) { c.run(newRig(t)) })
				}
			})
		})
	}
}

// TestWaitsGrow: a systemd that knows how waits longer from restart to restart, until the longest wait.
func TestWaitsGrow(t *testing.T) {
	labhost.Test(t, labhost.SystemdNext, func(t *testing.T) {
		r := newRig(t)
		d := r.daemon("web", func(d *spec.Daemon, o *testprog.Options) {
			o.Exit = 1
			d.Spec.Restart.Backoff = spec.Backoff{Initial: spec.Duration(100 * time.Millisecond), Max: spec.Duration(800 * time.Millisecond), ResetAfter: spec.Duration(5 * time.Minute)}
		})
		r.must(spec.VerbStart, d)
		next := func() string { return strings.TrimSpace(r.systemctl("show", "-P", "RestartUSecNext", "web.service")) }
		r.eventually("it has been restarted six times", func() bool { return r.look("web").Instance.Restarts >= 6 })
		if got := next(); got != "800ms" {
			t.Errorf("after six restarts the next wait is %s", got)
		}
		waits := r.waits("web.service")
		for i, least := range []time.Duration{100, 200, 400, 800, 800, 800} {
			if i >= len(waits) || waits[i] < least*time.Millisecond {
				t.Fatalf("the waits were %v; the one before restart %d must be %dms at least", waits, i+1, least)
			}
		}
		t.Logf("the waits were %v", waits)
		r.must(spec.VerbStop, d)
		r.must(spec.VerbStart, d)
		if got := next(); got != "100ms" && got != "200ms" { // it may have ended already
			t.Errorf("started anew, the next wait is %s", got)
		}
	})
}

// waits are those between each end of a unit and its restart, as the journal knows them.
func (r *rig) waits(unit string) (waits []time.Duration) {
	r.Helper()
	var ended time.Time
	for line := range strings.Lines(r.run("journalctl", "--unit="+unit, "--output=short-unix", "--quiet")) {
		stamp, _, _ := strings.Cut(line, " ")
		seconds, err := strconv.ParseFloat(stamp, 64)
		if err != nil {
			r.Fatalf("%q: %v", line, err)
		}
		at := time.UnixMicro(int64(seconds * 1e6))
		switch {
		case strings.Contains(line, "Main process exited"):
			ended = at
		case strings.Contains(line, "Scheduled restart job"):
			waits = append(waits, at.Sub(ended))
		}
	}
	return waits
}

func secretsStayHidden(r *rig) {
	const secret = "hunter2-plain"
	d := r.daemon("web", func(d *spec.Daemon, _ *testprog.Options) {
		d.Spec.Env = map[string]spec.EnvVar{"TOKEN": {FromFile: "/somewhere", Digest: "sha256:00"}}
		d.Secrets = map[string]spec.Secret{"TOKEN": spec.NewSecret(secret)}
	})
	r.begin(d)
	has := func(e []byte) bool { return string(e) == "TOKEN="+secret }
	if !slices.ContainsFunc(r.report("web")[0].Env, has) {
		r.Error("the daemon didn't get it")
	}
	for what, text := range map[string]string{
		"the unit": r.systemctl("cat", "web.service"), "the properties": r.systemctl("show", "--all", "web.service"),
		"the status": r.systemctl("status", "--lines=50", "web.service"),
	} {
		if strings.Contains(text, secret) {
			r.Errorf("it is in %s:\n%s", what, text)
		}
	}
	path := r.secretsPath("web")
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		r.Errorf("%s: %v, %v; want mode 0600", path, fi, err)
	}
	if fi, err := os.Stat(filepath.Dir(path)); err != nil || fi.Mode().Perm() != 0o700 {
		r.Errorf("%s: %v, %v; want mode 0700", filepath.Dir(path), fi, err)
	}
	r.must(spec.VerbStop, d)
	r.must(spec.VerbRemove, d)
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		r.Errorf("after the removal: %v", err)
	}
}

func conflictsAreLeftAlone(r *rig) {
	args := []string{"--unit=web", "sleep", "1000"}
	if r.scope.user {
		args = append([]string{"--user"}, args...)
	}
	r.run("systemd-run", args...)
	r.Cleanup(func() { r.systemctlLate("stop", "web.service") })
	before := r.systemctl("show", "web.service", "--property=MainPID,ActiveState")
	d := r.daemon("web")
	if _, err := r.Check(r.Context(), d); !errors.Is(err, drivers.ErrConflict) {
		r.Errorf("the check says %v", err)
	}
	if o := r.look("web"); o.State != spec.Absent || o.Foreign == "" {
		r.Errorf("seen is %+v", o)
	}
	if err := r.Apply(r.Context(), r.step(spec.VerbStart, d)); !errors.Is(err, drivers.ErrConflict) {
		r.Errorf("the start says %v", err)
	}
	other := r.daemon("other", func(d *spec.Daemon, _ *testprog.Options) { d.Spec.Cgroup = &spec.Cgroup{Service: "web"} })
	if err := r.Apply(r.Context(), r.step(spec.VerbStart, other)); !errors.Is(err, drivers.ErrConflict) {
		r.Errorf("the start of a daemon whose unit would be that one says %v", err)
	}
	if after := r.systemctl("show", "web.service", "--property=MainPID,ActiveState"); after != before {
		r.Errorf("%s became %s", before, after)
	}
}

// systemctlLate is systemctl for the end of a test.
func (r *rig) systemctlLate(args ...string) {
	if r.scope.user {
		args = append([]string{"--user"}, args...)
	}
	if out, err := command(context.WithoutCancel(r.Context()), "systemctl", args...).CombinedOutput(); err != nil {
		r.Errorf("systemctl %v: %v\n%s", args, err, out)
	}
}

func unitIsRenamed(r *rig) {
	d := r.daemon("web")
	r.begin(d)
	r.must(spec.VerbStop, d)
	d = r.daemon("web", func(d *spec.Daemon, _ *testprog.Options) {
		d.Spec.Cgroup = &spec.Cgroup{Slice: "shop-web.slice", Service: "worker", Instance: "0"}
	})
	o := r.begin(d)
	if o.State != spec.Running || o.Instance.Last == nil || !strings.HasSuffix(o.Cgroup, "/shop.slice/shop-web.slice/worker-0.service") {
		r.Errorf("it is %+v, %+v", o, o.Instance)
	}
	for _, path := range []string{r.scope.file("web.service"), filepath.Join(r.scope.wants, "web.service")} {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			r.Errorf("%s is left (%v)", path, err)
		}
	}
	pids, err := r.PIDs(r.Context(), "web")
	if err != nil || !slices.Contains(pids, o.Instance.PID) {
		r.Errorf("its processes are %v (%v), its main process is %d", pids, err, o.Instance.PID)
	}
}

func afterWhatIsMissing(r *rig) {
	first := r.daemon("first", func(d *spec.Daemon, _ *testprog.Options) { d.Spec.DependsOn = []spec.Dependency{{Name: "second"}} })
	second := r.daemon("second")
	r.begin(second)
	r.begin(first)
	r.must(spec.VerbStop, second)
	r.must(spec.VerbRemove, second)
	if o := r.look("second"); o.State != spec.Absent || o.Foreign != "" {
		r.Errorf("what another unit names is %+v", o)
	}
	second = r.daemon("second", argued("anew"))
	r.begin(second)
	r.runsWith("second", "anew")
}

func cutOffStart(r *rig) {
	d := r.daemon("web")
	r.must(spec.VerbStamp, d) // as a start leaves it that was killed before its job
	if o := r.look("web"); o.State != spec.Exited || o.Stamp == nil || o.Instance != nil {
		r.Errorf("it is %+v", o)
	}
	r.begin(d)
	if n := len(r.report("web")); n != 1 {
		r.Errorf("%d copies", n)
	}
}

func unreachable(r *rig) {
	r.begin(r.daemon("web"))
	d := newDriver(r, r.dirs)
	d.bus.scope.private, d.bus.scope.bus = "/nowhere", "/nowhere"
	found, err := d.Observe(r.Context(), "web", "nothing")
	if err != nil {
		r.Fatal(err)
	}
	if found[0].State != spec.Unknown || found[0].Message == "" || found[0].Stamp == nil || found[1].State != spec.Absent {
		r.Errorf("seen is %+v", found)
	}
	if err := d.Apply(r.Context(), spec.Step{Verb: spec.VerbStop, Name: "web"}); !errors.Is(err, drivers.ErrUnreachable) {
		r.Errorf("a stop says %v", err)
	}
	if names, err := d.List(r.Context()); err != nil || !slices.Contains(names, "web") {
		r.Errorf("listed are %v (%v)", names, err)
	}
}

func failuresAreExplained(r *rig) {
	for _, c := range []struct {
		name, want string
		change     func(*spec.Daemon)
	}{
		{"a program that is none", "spec.binary: " + filepath.Join(r.dir, "none"), func(d *spec.Daemon) {
			d.Spec.Binary = filepath.Join(r.dir, "none")
			r.write(d.Spec.Binary, "\x7fELF nothing like it")
			if err := os.Chmod(d.Spec.Binary, 0o755); err != nil {
				r.Fatal(err)
			}
		}},
		{"a directory that is gone", "spec.workingDir: /nowhere", func(d *spec.Daemon) { d.Spec.WorkingDir = "/nowhere" }},
		{"a log in no place", "log", func(d *spec.Daemon) { d.Spec.Log.Path = "/proc/nowhere/x.log" }},
	} {
		d := r.daemon("web", func(d *spec.Daemon, _ *testprog.Options) { c.change(d) })
		err := r.Apply(r.Context(), r.step(spec.VerbStart, d))
		if !errors.Is(err, drivers.ErrPermanent) || !strings.Contains(err.Error(), c.want) {
			r.Errorf("%s: %v, want a permanent error with %q", c.name, err, c.want)
		}
		if o := r.look("web"); o.State != spec.Absent {
			r.Errorf("%s: left is %+v", c.name, o)
		}
	}
}

func logsFromTheJournal(r *rig) {
	say := func(text string) *spec.Daemon {
		return r.daemon("web", func(_ *spec.Daemon, o *testprog.Options) { o.Say = text })
	}
	read := func(o drivers.LogOptions) string {
		r.Helper()
		var out bytes.Buffer
		if handled, err := r.Logs(r.Context(), "web", &out, o); err != nil || !handled {
			r.Fatalf("logs: %v, handled %v", err, handled)
		}
		return out.String()
	}
	r.begin(say("the first"))
	if r.scope.user { // journald keeps nothing for users apart on a host without a disk
		if _, err := r.Logs(r.Context(), "web", io.Discard, drivers.LogOptions{}); err == nil || !strings.Contains(err.Error(), "usermod") {
			r.Errorf("who may not read the journal hears %v", err)
		}
		return
	}
	r.eventually("the journal has it", func() bool { return strings.Contains(read(drivers.LogOptions{Tail: -1}), "the first\n") })
	between := time.Now()
	r.must(spec.VerbStop, say("the first"))
	r.begin(say("the second"))
	r.eventually("the journal has that too", func() bool { return strings.Contains(read(drivers.LogOptions{Tail: -1}), "the second\n") })
	for what, c := range map[string]struct {
		o    drivers.LogOptions
		want string
	}{
		"all":      {drivers.LogOptions{Tail: -1}, "the first\nthe second\n"},
		"the last": {drivers.LogOptions{Tail: 1}, "the second\n"},
		"since":    {drivers.LogOptions{Tail: -1, Since: between}, "the second\n"},
		"previous": {drivers.LogOptions{Tail: -1, Previous: true}, "the first\n"},
	} {
		if got := read(c.o); got != c.want {
			r.Errorf("%s: %q, want %q", what, got, c.want)
		}
	}
	ctx, cancel := context.WithCancel(r.Context())
	done := make(chan error, 1)
	found := &lineWriter{line: func(line []byte) error {
		if string(line) == "the third" {
			cancel()
		}
		return nil
	}}
	go func() {
		_, err := r.Logs(ctx, "web", found, drivers.LogOptions{Tail: 0, Follow: true})
		done <- err
	}()
	r.must(spec.VerbStop, say("the second"))
	r.begin(say("the third"))
	if err := <-done; !errors.Is(err, context.Canceled) {
		r.Errorf("to follow came to %v", err)
	}
}

func logsOfBothCopies(r *rig) {
	slots := drivers.WithSlots(r.Driver, r.dirs)
	logger, _ := drivers.Find[drivers.Logger](slots)
	apply := func(s spec.Step) spec.Observed {
		r.Helper()
		if err := slots.Apply(r.Context(), s); err != nil {
			r.Fatal(err)
		}
		found, err := slots.Observe(r.Context(), "both")
		if err != nil {
			r.Fatal(err)
		}
		return found[0]
	}
	say := func(generation int64, text string) spec.Step {
		want := r.daemon("both", func(d *spec.Daemon, o *testprog.Options) {
			o.Say, d.Spec.Update = text, &spec.Update{Strategy: spec.UpdateStartFirst}
		})
		return spec.Step{Verb: spec.VerbStart, Name: "both", Want: want, Driver: spec.DriverSystemd, Owner: spec.Owner{Set: "test"}, Generation: generation}
	}
	read := func(o drivers.LogOptions) string {
		r.Helper()
		var out bytes.Buffer
		if handled, err := logger.Logs(r.Context(), "both", &out, o); err != nil || !handled {
			r.Fatalf("logs: %v, handled %v", err, handled)
		}
		return out.String()
	}
	all := drivers.LogOptions{Tail: -1}
	first := apply(say(1, "the first"))
	r.eventually("the journal has the first", func() bool { return r.scope.user || read(all) == "the first\n" })
	s := say(2, "the second")
	s.Beside, s.Instance = true, first.Instance.ID
	second := apply(s)
	if place := logger.LogPlace(second.Stamp); !strings.Contains(place, "-u both.service -u both_1.service") {
		r.Errorf("a person is told of %s", place)
	}
	if r.scope.user {
		return // see logsFromTheJournal
	}
	r.eventually("the journal has both", func() bool { return read(all) == "the first\nthe second\n" })
	for want, o := range map[string]drivers.LogOptions{"the second\n": {Tail: -1, Later: true}, "the first\n": {Tail: -1, Previous: true}} {
		if got := read(o); got != want {
			r.Errorf("%+v: %q, want %q", o, got, want)
		}
	}
	if o := apply(spec.Step{Verb: spec.VerbRetire, Name: "both", Driver: spec.DriverSystemd, Instance: second.Instance.ID}); o.Outgoing != nil || read(all) != "the first\nthe second\n" {
		r.Errorf("when one is gone the journal has %q", read(all))
	}
}

func lookingCostsOneCall(r *rig) {
	var ds []*spec.Daemon
	var names []string
	for i := range few + 4 {
		ds = append(ds, r.daemon(fmt.Sprint("web", i)))
		names = append(names, fmt.Sprint("web", i))
	}
	r.each(ds, func(d *spec.Daemon) error { return r.Apply(r.Context(), r.step(spec.VerbStart, d)) })
	d := newDriver(r, r.dirs)
	if _, err := d.Observe(r.Context(), names...); err != nil { // which connects
		r.Fatal(err)
	}
	l, err := d.bus.get(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	before := l.calls.Load()
	found, err := d.Observe(r.Context(), names...)
	if err != nil {
		r.Fatal(err)
	}
	for _, o := range found {
		if o.State != spec.Running || len(o.Drift) != 0 {
			r.Errorf("%+v", o)
		}
	}
	if n := l.calls.Load() - before; n != 1 {
		r.Errorf("to look at %d daemons took %d calls, want one", len(names), n)
	}
}

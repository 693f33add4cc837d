package systemd

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/internal/testprog"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

// rig is a driver on a host, and words for what tests do with it. What isn't as it must be ends the test.
type rig struct {
	*testing.T
	*Driver
	dir string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	dirs := layout.Under(t.TempDir())
	if err := dirs.Make(); err != nil {
		t.Fatal(err)
	}
	r := &rig{T: t, Driver: newDriver(t, dirs), dir: t.TempDir()}
	t.Cleanup(r.removeAll)
	return r
}

// removeAll ends and removes what the test has made.
func (r *rig) removeAll() {
	ctx := context.WithoutCancel(r.Context())
	names, err := r.List(ctx)
	if err != nil {
		r.Error(err)
	}
	found, err := r.Driver.Observe(ctx, names...)
	if err != nil {
		r.Error(err)
	}
	for _, o := range found {
		s := spec.Step{Verb: spec.VerbStop, Name: o.Name, Stop: spec.Stop{Signal: "SIGKILL", GracePeriod: spec.Duration(time.Second)}}
		if o.Instance != nil {
			s.Instance = o.Instance.ID
		}
		for _, s.Verb = range []spec.Verb{spec.VerbStop, spec.VerbRemove} {
			if err := r.Apply(ctx, s); err != nil {
				r.Errorf("clean up: %v", err)
			}
		}
	}
}

// daemon declares a daemon that reports and stays.
func (r *rig) daemon(name string, change ...func(*spec.Daemon, *testprog.Options)) *spec.Daemon {
	r.Helper()
	umask := spec.Mode(0o022)
	o := testprog.Stay(filepath.Join(r.dir, name+".report"))
	d := &spec.Daemon{
		Metadata: spec.Metadata{Name: name},
		Spec: spec.Spec{
			Driver: spec.DriverSystemd, Binary: os.Getenv("RECONCILER_TESTPROG"), WorkingDir: "/", Umask: &umask, Type: spec.TypeExec,
			Stop:    spec.Stop{Signal: "SIGTERM", GracePeriod: spec.Duration(10 * time.Second)},
			Restart: spec.Restart{Policy: spec.RestartAlways, Backoff: spec.Backoff{Initial: spec.Duration(100 * time.Millisecond), Max: spec.Duration(time.Minute), ResetAfter: spec.Duration(time.Minute)}},
			Log:     spec.Log{MaxSize: 10 << 20, MaxFiles: 3},
		},
	}
	for _, c := range change {
		c(d, &o)
	}
	d.Spec.Args = o.Args()
	return r.seal(d)
}

func (r *rig) seal(d *spec.Daemon) *spec.Daemon {
	r.Helper()
	text, err := json.Marshal([]any{d.Metadata, d.Spec})
	if err != nil {
		r.Fatal(err)
	}
	d.Digest = driverstest.ContentDigest(text)
	return d
}

func (r *rig) look(name string) spec.Observed {
	r.Helper()
	found, err := r.Observe(r.Context(), name)
	if err != nil {
		r.Fatal(err)
	}
	return found[0]
}

func (r *rig) step(verb spec.Verb, d *spec.Daemon) spec.Step {
	r.Helper()
	o := r.look(d.Name)
	s := spec.Step{Verb: verb, Name: d.Name, Want: d, Owner: spec.Owner{Set: "test"}, Generation: 1, Tool: "v0", Stop: d.Spec.Stop}
	if o.Instance != nil {
		s.Instance = o.Instance.ID
	}
	if o.Stamp != nil {
		s.Generation = o.Stamp.Generation
		if o.Stamp.Digest != d.Digest {
			s.Generation++
		}
	}
	return s
}

func (r *rig) must(verb spec.Verb, d *spec.Daemon) spec.Observed {
	r.Helper()
	if err := r.Apply(r.Context(), r.step(verb, d)); err != nil {
		r.Fatal(err)
	}
	return r.look(d.Name)
}

// begin starts d and waits for its first words.
func (r *rig) begin(d *spec.Daemon) spec.Observed {
	r.Helper()
	n := len(r.report(d.Name))
	r.must(spec.VerbStart, d)
	r.eventually("it reports", func() bool { return len(r.report(d.Name)) > n })
	return r.look(d.Name)
}

// report is what the processes of a daemon have told.
func (r *rig) report(name string) []testprog.Line {
	r.Helper()
	data, err := os.ReadFile(filepath.Join(r.dir, name+".report"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.Fatal(err)
	}
	lines, err := testprog.ParseReport(data)
	if err != nil {
		r.Fatal(err)
	}
	return lines
}

func (r *rig) eventually(what string, happened func() bool) {
	r.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !happened() {
		if time.Now().After(deadline) {
			r.Fatalf("waited in vain: %s", what)
		}
		<-time.After(2 * time.Millisecond)
	}
}

// run runs a command as somebody at the machine does.
func (r *rig) run(name string, args ...string) string {
	r.Helper()
	out, err := command(r.Context(), name, args...).CombinedOutput()
	if err != nil {
		r.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, name, args...)
}

// systemctl is that of the manager that the driver works with.
func (r *rig) systemctl(args ...string) string {
	r.Helper()
	if r.scope.user {
		args = append([]string{"--user"}, args...)
	}
	return r.run("systemctl", args...)
}

func (r *rig) write(path, text string) {
	r.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		r.Fatal(err)
	}
}

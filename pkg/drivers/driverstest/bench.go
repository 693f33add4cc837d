package driverstest

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"reconciler.dev/reconciler/internal/testprog"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// bench is what a case works with: the subject, a directory, and words for what cases do all the time. What isn't as it must be ends the case.
type bench struct {
	t *testing.T
	Subject
	m   Machine
	dir string
}

// soon is how long a case makes sure that nothing happens.
const soon = 150 * time.Millisecond

func seconds(n float64) spec.Duration { return spec.Duration(n * float64(time.Second)) }

func newBench(t *testing.T, s Subject) *bench {
	if s.Patience == 0 {
		s.Patience = time.Minute
	}
	b := &bench{t: t, Subject: s, m: s.Machine, dir: s.Machine.Dir(t)}
	t.Cleanup(b.stopAll)
	return b
}

// ctx bounds what a case waits for.
func (b *bench) ctx() context.Context {
	ctx, cancel := context.WithTimeout(b.t.Context(), b.Patience)
	b.t.Cleanup(cancel)
	return ctx
}

func (b *bench) reportPath() string { return filepath.Join(b.dir, "report") }

// stay are the options of a program that reports and stays.
func (b *bench) stay() testprog.Options { return testprog.Stay(b.reportPath()) }

// daemon declares a daemon that runs the test program, complete as Resolve makes it.
func (b *bench) daemon(name string, o testprog.Options) *spec.Daemon {
	umask := spec.Mode(0o022)
	policy := spec.RestartAlways
	if b.Supervises {
		policy = spec.RestartNever
	}
	return sealed(&spec.Daemon{
		Metadata: spec.Metadata{Name: name, Labels: map[string]string{"app": name}},
		Spec: spec.Spec{
			Driver: b.Driver.Kind(), Binary: b.m.Program(), Args: o.Args(), WorkingDir: "/", Umask: &umask, Type: spec.TypeExec,
			Stop:    spec.Stop{Signal: "SIGTERM", GracePeriod: seconds(10)},
			Restart: spec.Restart{Policy: policy, Backoff: spec.Backoff{Initial: seconds(1), Max: seconds(300), ResetAfter: seconds(60)}},
			Log:     spec.Log{Path: filepath.Join(b.dir, name+".log"), MaxSize: 10 << 20, MaxFiles: 3},
		},
		Source: "suite",
	})
}

// sealed gives d the digest of what it now is.
func sealed(d *spec.Daemon) *spec.Daemon {
	text, err := json.Marshal([]any{d.Metadata, d.Spec})
	if err != nil {
		panic(err) // nothing in there that can't be written
	}
	d.Digest = ContentDigest(text)
	return d
}

// step is a step that follows from what is there now.
func (b *bench) step(verb spec.Verb, d *spec.Daemon) spec.Step {
	b.t.Helper()
	s := spec.Step{
		Verb: verb, Name: d.Name, Reason: "the suite asks for it", Owner: spec.Owner{Set: "suite"}, Tool: "v0.0.0-suite", Generation: 1,
		Stop: d.Spec.Stop, By: "suite",
	}
	if !slices.Contains([]spec.Verb{spec.VerbStop, spec.VerbRemove, spec.VerbPause, spec.VerbResume, spec.VerbRetire, spec.VerbAbandon, spec.VerbHold, spec.VerbRelease}, verb) {
		s.Want = d
	}
	if i := b.observe(d.Name).Instance; i != nil {
		s.Instance = i.ID
	}
	return s
}

func (b *bench) apply(s spec.Step) error { return b.Driver.Apply(b.ctx(), s) }

// must applies a step that follows from what is there now.
func (b *bench) must(verb spec.Verb, d *spec.Daemon) spec.Observed {
	b.t.Helper()
	return b.mustStep(b.step(verb, d))
}

func (b *bench) mustStep(s spec.Step) spec.Observed {
	b.t.Helper()
	if err := b.apply(s); err != nil {
		b.t.Fatal(err)
	}
	return b.observe(s.Name)
}

// mustFail applies a step that must be refused for one of the reasons.
func (b *bench) mustFail(s spec.Step, reasons ...error) {
	b.t.Helper()
	err := b.apply(s)
	if !slices.ContainsFunc(reasons, func(r error) bool { return errors.Is(err, r) }) {
		b.t.Fatalf("%s of %s: got error %v, want one of %v", s.Verb, s.Name, err, reasons)
	}
}

// start starts d and waits until its main process has reported.
func (b *bench) start(d *spec.Daemon) spec.Observed {
	b.t.Helper()
	before := len(b.lines("leader", ""))
	b.must(spec.VerbStart, d)
	b.eventually("the program reports", func() bool { return len(b.lines("leader", "")) > before })
	return b.observe(d.Name)
}

func (b *bench) observe(name string) spec.Observed {
	b.t.Helper()
	return b.observeBy(b.Driver, name)
}

func (b *bench) observeBy(d drivers.Driver, name string) spec.Observed {
	b.t.Helper()
	found, err := d.Observe(b.ctx(), name)
	if err != nil {
		b.t.Fatal(err)
	}
	if len(found) != 1 || found[0].Name != name {
		b.t.Fatalf("asked for %s and got %+v", name, found)
	}
	return found[0]
}

// wantState fails where name isn't in the state.
func (b *bench) wantState(name string, want spec.State) spec.Observed {
	b.t.Helper()
	o := b.observe(name)
	if o.State != want {
		b.t.Fatalf("%s is %s (%s), want %s", name, o.State, o.Message, want)
	}
	return o
}

// becomes waits until name is in the state.
func (b *bench) becomes(name string, want spec.State) (o spec.Observed) {
	b.t.Helper()
	b.eventually(name+" becomes "+string(want), func() bool {
		o = b.observe(name)
		return o.State == want
	})
	return o
}

// eventually waits for what must happen without anybody's doing.
func (b *bench) eventually(what string, happened func() bool) {
	b.t.Helper()
	deadline := time.Now().Add(b.Patience)
	for !happened() {
		if time.Now().After(deadline) {
			b.t.Fatalf("waited %s in vain: %s", b.Patience, what)
		}
		<-time.After(2 * time.Millisecond)
	}
}

// report returns what the test programs of this case have reported.
func (b *bench) report() []testprog.Line {
	b.t.Helper()
	f, err := b.m.Read(b.reportPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		b.t.Fatal(err)
	}
	lines, err := testprog.ParseReport(f.Content)
	if err != nil {
		b.t.Fatal(err)
	}
	return lines
}

// lines returns the reports of a role: of an event, or with none of beginnings.
func (b *bench) lines(role, event string) []testprog.Line {
	b.t.Helper()
	return slices.DeleteFunc(b.report(), func(l testprog.Line) bool { return l.Role != role || l.Event != event })
}

// begun returns the first report of role.
func (b *bench) begun(role string) testprog.Line {
	b.t.Helper()
	lines := b.lines(role, "")
	if len(lines) == 0 {
		b.t.Fatalf("no %s reported", role)
	}
	return lines[0]
}

// copies is how many main processes are alive.
func (b *bench) copies() (n int) {
	b.t.Helper()
	for _, l := range b.lines("leader", "") {
		if b.m.Alive(l.PID) {
			n++
		}
	}
	return n
}

// write writes a file behind the driver's back.
func (b *bench) write(path, content string, mode spec.Mode) {
	b.t.Helper()
	if err := b.m.Write(path, File{Content: []byte(content), Mode: mode}); err != nil {
		b.t.Fatal(err)
	}
}

// holds fails unless the file holds content.
func (b *bench) holds(path, content string) {
	b.t.Helper()
	if f, err := b.m.Read(path); err != nil || string(f.Content) != content {
		b.t.Fatalf("%s holds %q (%v), want %q", path, f.Content, err, content)
	}
}

// missing fails unless there is no such file.
func (b *bench) missing(path string) {
	b.t.Helper()
	if f, err := b.m.Read(path); !errors.Is(err, fs.ErrNotExist) {
		b.t.Fatalf("%s is there: %q (%v)", path, f.Content, err)
	}
}

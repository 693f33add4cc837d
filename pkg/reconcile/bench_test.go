package reconcile

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

// manifest makes an effective daemon as the loader would.
func manifest(name string, edits ...func(*spec.Daemon)) *spec.Daemon {
	d := &spec.Daemon{Metadata: spec.Metadata{Name: name}, Spec: spec.Spec{Binary: "/bin/" + name}, Source: name + ".yaml:1"}
	for _, edit := range edits {
		edit(d)
	}
	spec.Defaults(&d.Spec)
	d.Digest = spec.Digest(d.Metadata, d.Spec)
	return d
}

func args(a ...string) func(*spec.Daemon) { return func(d *spec.Daemon) { d.Spec.Args = a } }

func needs(name string) func(*spec.Daemon) {
	return func(d *spec.Daemon) { d.Spec.DependsOn = append(d.Spec.DependsOn, spec.Dependency{Name: name}) }
}

func policyIs(p spec.RestartPolicy) func(*spec.Daemon) {
	return func(d *spec.Daemon) { d.Spec.Restart.Policy = p }
}

func checked(edits ...func(*spec.Health)) func(*spec.Daemon) {
	return func(d *spec.Daemon) {
		d.Spec.Health = &spec.Health{TCP: "127.0.0.1:1", StartPeriod: spec.Duration(time.Second), Interval: spec.Duration(time.Second)}
		for _, edit := range edits {
			edit(d.Spec.Health)
		}
	}
}

// bench is a fake machine and an engine on it.
type bench struct {
	*driverstest.Host
	e *Engine

	mu  sync.Mutex
	log []string
}

func newBench(edits ...func(*Options)) *bench {
	b := &bench{Host: driverstest.NewHost()}
	b.e = b.engine(edits...)
	return b
}

func (b *bench) engine(edits ...func(*Options)) *Engine {
	o := Options{Owner: spec.Owner{Set: "default"}, Tool: "test", LookupEnv: func(string) (string, bool) { return "", false }, Report: func(p Progress) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.log = append(b.log, strings.TrimSpace(p.Name+" "+p.Phase))
	}}
	for _, edit := range edits {
		edit(&o)
	}
	return New(b.Host, o)
}

func (b *bench) said() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.log)
}

func (b *bench) apply(t *testing.T, o ApplyOptions, p PruneOptions, wants ...*spec.Daemon) ([]string, error) {
	t.Helper()
	return applyWith(t, b.e, o, p, wants...)
}

func applyWith(t *testing.T, e *Engine, o ApplyOptions, p PruneOptions, wants ...*spec.Daemon) ([]string, error) {
	t.Helper()
	r, err := e.Review(t.Context(), wants, p)
	if err != nil {
		return nil, err
	}
	items, err := e.Apply(t.Context(), r, o)
	return words(items), err
}

func words(items []Item) []string {
	var ws []string
	for _, it := range items {
		ws = append(ws, it.Name+" "+string(it.Action))
	}
	return ws
}

func (b *bench) state(t *testing.T, name string) spec.Observed {
	t.Helper()
	o, err := b.Fake().Observe(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return o[0]
}

func (b *bench) mustApply(t *testing.T, wants ...*spec.Daemon) {
	t.Helper()
	if got, err := b.apply(t, ApplyOptions{}, PruneOptions{}, wants...); err != nil {
		t.Fatalf("apply: %v (%v)", err, got)
	}
}

// alike fails where the words differ.
func alike(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

// manifests is a Source that a test changes.
type manifests struct {
	mu      sync.Mutex
	wants   []*spec.Daemon
	err     error
	changed func()
}

func (m *manifests) Load(context.Context) ([]*spec.Daemon, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.wants, m.err
}

func (m *manifests) Watch(ctx context.Context, changed func()) error {
	m.mu.Lock()
	m.changed = changed
	m.mu.Unlock()
	changed()
	<-ctx.Done()
	return ctx.Err()
}

func (m *manifests) set(err error, wants ...*spec.Daemon) {
	m.mu.Lock()
	m.wants, m.err = wants, err
	m.mu.Unlock()
	m.changed()
}

// keptBy is a run of the bench's set; it ends with the test.
type keptBy struct {
	*bench
	src  *manifests
	stop func() error
}

// keep starts a run and returns when it has settled.
func keep(t *testing.T, b *bench, o RunOptions, wants ...*spec.Daemon) *keptBy {
	t.Helper()
	k := &keptBy{bench: b, src: &manifests{wants: wants}}
	o.Holder = drivers.Holder{ID: "run-1", Set: "default", PID: 7, Command: "reconciler run -f d", Since: time.Now()}
	e := b.engine(func(eo *Options) { eo.Owner.Holder = o.Holder.ID })
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx, k.src, o) }()
	k.stop = func() error { cancel(); return <-ended }
	t.Cleanup(cancel)
	synctest.Wait()
	time.Sleep(2 * UpFor)
	synctest.Wait()
	return k
}

func (k *keptBy) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (k *keptBy) crash(t *testing.T, name string) {
	t.Helper()
	k.Fake().Crash(name, spec.Exit{Known: true, Signal: "SIGKILL"})
	synctest.Wait()
}

func condition(t *testing.T, b *bench, name string, ct spec.ConditionType) spec.Condition {
	t.Helper()
	ss, err := b.Statuses(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return find(ss[name].Conditions, ct)
}

func count(lines []string, line string) (n int) {
	for _, l := range lines {
		if l == line {
			n++
		}
	}
	return n
}

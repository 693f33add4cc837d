package driverstest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// Fake is an in-memory drivers.Driver. Its daemons are simulated processes on a simulated machine, which tests script: see Behave, Crash, Fail, Before and
// the others. It may be used from any goroutine. Times are those of package time, so that a synctest bubble governs them; a Fake used in
// a bubble must be made in it.
type Fake struct {
	kind  spec.DriverKind
	plain bool
	w     *world
}

var (
	_ drivers.Driver  = (*Fake)(nil)
	_ drivers.Checker = (*Fake)(nil)
)

// NewFake returns a driver of kind process over a machine of its own, with nothing on it.
func NewFake() *Fake {
	return &Fake{kind: spec.DriverProcess, w: &world{
		daemons: map[string]*daemon{}, behaviours: map[string]Behaviour{}, files: map[string]File{}, procs: map[int]*Proc{},
		failures: map[string][]error{}, unknown: map[string]string{}, locks: map[string]chan struct{}{}, watchers: map[int]*watcher{}, nextPID: 1000,
	}}
}

// Reopen returns another driver value over the same machine, as another process would have one.
func (f *Fake) Reopen() *Fake { return &Fake{kind: f.kind, plain: f.plain, w: f.w} }

// As returns a driver value over the same machine that says it is of another kind.
func (f *Fake) As(kind spec.DriverKind) *Fake { return &Fake{kind: kind, plain: f.plain, w: f.w} }

// Plain returns a driver value over the same machine that leaves config files and pauses to drivers.Decorate, as real drivers do.
func (f *Fake) Plain() *Fake { return &Fake{kind: f.kind, plain: true, w: f.w} }

// world is the machine: what outlives a driver value.
type world struct {
	mu          sync.Mutex
	daemons     map[string]*daemon
	behaviours  map[string]Behaviour
	files       map[string]File
	names       []string // other paths of the test program
	procs       map[int]*Proc
	failures    map[string][]error // by verb and name
	unknown     map[string]string
	unreachable error
	enforces    bool // the limits of spec.cgroup
	before      func(context.Context, spec.Step) error
	after       func(spec.Step, error)
	calls       []spec.Step
	observes    int
	locks       map[string]chan struct{}
	strangers   []drivers.Stranger
	watchers    map[int]*watcher
	nextWatcher int
	nextPID     int
	nextID      int
	dirty       []string
}

// daemon is what the machine holds of one name.
type daemon struct {
	name    string
	stamp   *spec.Stamp
	inst    *spec.Instance
	run     *run // of inst; nil before the first start
	pause   *spec.Pause
	held    *spec.Pause
	foreign string
	drift   []spec.Drift
	owned   map[string]string // the files it wrote: path to digest
}

type watcher struct {
	mu     sync.Mutex
	call   func(string)
	broken chan error
}

func (w *watcher) tell(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.call != nil {
		w.call(name)
	}
}

// do runs f with the machine locked and tells the watchers afterwards what f touched.
func (w *world) do(f func()) {
	w.mu.Lock()
	f()
	dirty, watchers := w.dirty, slices.Collect(maps.Values(w.watchers))
	w.dirty = nil
	w.mu.Unlock()
	for _, name := range dirty {
		for _, x := range watchers {
			x.tell(name)
		}
	}
}

// touch notes that name changed. The machine is locked.
func (w *world) touch(name string) {
	if !slices.Contains(w.dirty, name) {
		w.dirty = append(w.dirty, name)
	}
}

func (w *world) daemon(name string) *daemon {
	d := w.daemons[name]
	if d == nil {
		d = &daemon{name: name, owned: map[string]string{}}
		w.daemons[name] = d
	}
	return d
}

// Kind is process, unless As said otherwise.
func (f *Fake) Kind() spec.DriverKind { return f.kind }

// List returns the stamped names.
func (f *Fake) List(ctx context.Context) (names []string, err error) {
	if err := f.reach(ctx); err != nil {
		return nil, fmt.Errorf("list daemons: %w", err)
	}
	f.w.do(func() {
		for name, d := range f.w.daemons {
			if d.stamp != nil && d.stampedFor(f.kind) {
				names = append(names, name)
			}
		}
	})
	slices.Sort(names)
	return names, nil
}

// stampedFor keeps drivers of several kinds over one machine apart.
func (d *daemon) stampedFor(kind spec.DriverKind) bool {
	k := d.stamp.Spec.Driver
	return k == "" || k == spec.DriverAuto || k == kind
}

// Observe looks at the simulated machine.
func (f *Fake) Observe(ctx context.Context, names ...string) ([]spec.Observed, error) {
	f.w.do(func() { f.w.observes++ })
	if err := f.reach(ctx); err != nil {
		return nil, fmt.Errorf("observe daemons: %w", err)
	}
	found := make([]spec.Observed, 0, len(names))
	f.w.do(func() {
		for _, name := range names {
			found = append(found, f.observe(name))
		}
	})
	return found, nil
}

func (f *Fake) observe(name string) spec.Observed {
	o := spec.Observed{Name: name, State: spec.Absent, Driver: f.kind}
	if why, ok := f.w.unknown[name]; ok {
		o.State, o.Message = spec.Unknown, why
		return o
	}
	d := f.w.daemons[name]
	if d == nil {
		return o
	}
	o.Foreign = d.foreign
	if d.pause != nil {
		p := *d.pause
		o.Paused = &p
	}
	if d.held != nil {
		p := *d.held
		o.Held = &p
	}
	if d.stamp == nil || !d.stampedFor(f.kind) {
		return o
	}
	s := *d.stamp
	o.Stamp, o.State = &s, spec.Exited
	o.Drift = slices.Clone(d.drift)
	if !f.plain {
		o.Drift = append(o.Drift, f.w.fileDrift(s.Spec.Files)...)
	}
	f.w.limited(&o, &s.Spec)
	if d.inst != nil {
		o.Instance = d.run.look(d.inst)
		o.State = d.run.state()
	}
	return o
}

// reach fails where ctx has ended or the test made the machine unreachable.
func (f *Fake) reach(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	return f.w.unreachable
}

// Watch tells of every change on the simulated machine.
func (f *Fake) Watch(ctx context.Context, changed func(string)) error {
	x := &watcher{call: changed, broken: make(chan error, 1)}
	var id int
	f.w.do(func() {
		f.w.nextWatcher++
		id = f.w.nextWatcher
		f.w.watchers[id] = x
	})
	x.tell("")
	defer func() {
		f.w.do(func() { delete(f.w.watchers, id) })
		x.mu.Lock()
		x.call = nil
		x.mu.Unlock()
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-x.broken:
		return err
	}
}

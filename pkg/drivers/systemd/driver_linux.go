package systemd

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"reconciler.dev/reconciler/internal/flock"
	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/internal/spawn"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// Driver is the systemd driver. Make one with New.
type Driver struct {
	dirs  layout.Dirs
	scope scope
	bus   bus
	units units
	notes notes
	// listings are the names in the directories of units and notes.
	listings listings
	boot     string
	own      *spawn.Account
	// learnt is what the manager is like, once it was asked.
	learnt learnt
	// tool is held while the copy of this program is looked at.
	tool    sync.Mutex
	reloads reloads
	// writers holds a value for each start that is writing its unit, starts for each that waits for the manager.
	writers, starts chan struct{}
	spawner         func() (*spawn.Spawner, error)
	// cgroupMount is where cgroup v2 is mounted, which stays.
	cgroupMount func() string
}

var (
	_ drivers.Driver      = (*Driver)(nil)
	_ drivers.Checker     = (*Driver)(nil)
	_ drivers.Housekeeper = (*Driver)(nil)
	_ drivers.Tree        = (*Driver)(nil)
	_ drivers.Placer      = (*Driver)(nil)
	_ drivers.Surveyor    = (*Driver)(nil)
	_ drivers.Logger      = (*Driver)(nil)
	_ drivers.Booter      = (*Driver)(nil)
	_ drivers.Patient     = (*Driver)(nil)
	_ drivers.Listening   = (*Driver)(nil)
)

// New returns the systemd driver: of the system manager for root, of the user's own manager for others. A machine without gives an error with a *drivers.Unavailable. A manager that
// is there and doesn't answer is no such error: what it runs is unknown then, see Observe. New asks the manager nothing; it is connected to when it is needed.
func New(o Options) (*Driver, error) {
	e, err := here()
	if err != nil {
		return nil, fmt.Errorf("set up the systemd driver: %w", err)
	}
	s, err := detect(e)
	if err != nil {
		return nil, fmt.Errorf("set up the systemd driver: %w", err)
	}
	boot, err := procfs.BootID()
	if err != nil {
		return nil, fmt.Errorf("set up the systemd driver: %w: %w", err, drivers.ErrUnsupported)
	}
	own, _, err := spawn.LookupAccount("", "")
	if err != nil {
		return nil, fmt.Errorf("set up the systemd driver: %w", err)
	}
	return &Driver{
		dirs: o.Dirs, scope: s, boot: boot, own: own, spawner: sync.OnceValues(spawn.New), cgroupMount: sync.OnceValue(cgroupMount),
		writers: make(chan struct{}, writersAtOnce), starts: make(chan struct{}, startsAtOnce),
		bus:   bus{scope: s},
		units: units{dir: s.units, cache: map[string]*unitFile{}},
		notes: notes{dir: filepath.Join(o.Dirs.Run, "units"), boot: boot, cache: map[string]cachedNote{}},
	}, nil
}

// Kind is systemd.
func (d *Driver) Kind() spec.DriverKind { return spec.DriverSystemd }

// Reloads is how often this value had the manager read all units again (daemon-reload), which stops it for a while.
func (d *Driver) Reloads() int64 { return d.reloads.count.Load() }

// Close ends the connection to the manager. The driver may be used again.
func (d *Driver) Close() { d.bus.close() }

// List returns the names whose unit files carry our stamp, a damaged one included, and those whose unit file is gone while the daemon runs.
func (d *Driver) List(context.Context) ([]string, error) {
	found, err := d.units.scan(nil)
	if err != nil {
		return nil, fmt.Errorf("list unit files: %w", err)
	}
	var names []string
	for _, f := range found {
		names = append(names, f.name())
	}
	noted, err := d.notes.names()
	if err != nil {
		return nil, fmt.Errorf("list the notes of daemons: %w", err)
	}
	for _, name := range noted {
		f := &finding{name: name, note: d.notes.read(name)}
		if f.note != nil && found[f.note.Unit] == nil {
			if d.vouch(f); f.ours() {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Apply does one step under the daemon's lock.
func (d *Driver) Apply(ctx context.Context, step spec.Step) error {
	return drivers.Verbs{
		spec.VerbStart: d.start, spec.VerbStop: d.stop, spec.VerbStamp: d.stamp, spec.VerbReload: d.reload, spec.VerbRemove: d.remove,
		spec.VerbAdopt: d.adopt,
	}.Apply(ctx, spec.DriverSystemd, d.dirs, step)
}

// tryLock takes the daemon's lock if nobody has it. It returns nil where somebody has, or nobody can.
func (d *Driver) tryLock(name string) *flock.Held {
	if _, err := os.Lstat(d.dirs.Run); err != nil {
		return nil // to look leaves no trace
	}
	h, err := drivers.TryLockName(d.dirs, name)
	if err != nil {
		return nil
	}
	return h
}

// bus is the connection to the manager, made when it is needed and made anew when it broke.
type bus struct {
	scope scope
	mu    sync.Mutex
	link  *link
}

func (b *bus) get(ctx context.Context) (*link, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.link != nil && b.link.conn.Connected() {
		return b.link, nil
	}
	l, err := dial(ctx, &b.scope)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	b.link = l
	return l, nil
}

func (b *bus) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.link != nil {
		b.link.close()
		b.link = nil
	}
}

// learnt is what the manager is like: it doesn't change while that runs.
type learnt struct {
	mu    sync.Mutex
	facts *Facts
	root  atomic.Pointer[string]
}

package process

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"reconciler.dev/reconciler/internal/flock"
	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/internal/pidfd"
	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/internal/sockets"
	"reconciler.dev/reconciler/internal/spawn"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// Driver is the process driver. Make one with New.
type Driver struct {
	dirs   layout.Dirs
	spawn  *spawn.Spawner
	store  *store
	trees  Trees
	ends   pidfd.Poller
	self   actor
	own    *spawn.Account
	strays strays
	asking asking
	watch  watching
	// sockets holds what daemons listen on.
	sockets sockets.Client
	starts  chan struct{} // holds a value for each start under way
	// listed is when Places last found a record for each instance.
	listed atomic.Pointer[time.Time]
}

// startsAtOnce is how many starts are under way at once. Forks follow one another anyway; a few starts ahead of the fork keep it busy, and more only
// contend for the directories that all of them write to: 500 starts take 1.6 times as long with no bound.
const startsAtOnce = 4

var (
	_ drivers.Driver      = (*Driver)(nil)
	_ drivers.Checker     = (*Driver)(nil)
	_ drivers.Housekeeper = (*Driver)(nil)
	_ drivers.Tree        = (*Driver)(nil)
	_ drivers.Placer      = (*Driver)(nil)
	_ drivers.Surveyor    = (*Driver)(nil)
	_ drivers.Knower      = (*Driver)(nil)
	_ drivers.Listening   = (*Driver)(nil)
)

// New returns the process driver, or an error that wraps ErrUnsupported where this kernel can't carry it. The program must call spawn.Main first thing in main.
func New(o Options) (*Driver, error) { return NewWith(o, &tags{}) }

// NewWith is New for daemons whose trees are held by something else than their tags. Each kind of trees has records of its own; the locks of names are shared, so no two
// drivers ever act on one name at once.
func NewWith(o Options, trees Trees) (*Driver, error) {
	boot, err := procfs.BootID()
	if err != nil {
		return nil, fmt.Errorf("set up the %s driver: %w: %w", trees.Kind(), err, drivers.ErrUnsupported)
	}
	me, err := procfs.ReadStat(os.Getpid())
	if err != nil {
		return nil, fmt.Errorf("set up the %s driver: %w: %w", trees.Kind(), err, drivers.ErrUnsupported)
	}
	fd, err := pidfd.Open(me.PID)
	if err != nil {
		return nil, fmt.Errorf("set up the %s driver: %w: %w", trees.Kind(), err, drivers.ErrUnsupported)
	}
	fd.Close()
	if o.Spawner == nil {
		if o.Spawner, err = spawn.New(); err != nil {
			return nil, fmt.Errorf("set up the %s driver: %w", trees.Kind(), err)
		}
	}
	own, _, err := spawn.LookupAccount("", "")
	if err != nil {
		return nil, fmt.Errorf("set up the %s driver: %w", trees.Kind(), err)
	}
	return &Driver{
		dirs: o.Dirs, own: own, spawn: o.Spawner, trees: trees, store: newStore(o.Dirs, trees.Kind()),
		self:    actor{PID: me.PID, StartTicks: me.Start, BootID: boot},
		sockets: sockets.Client{Dir: o.Dirs.Run, Tool: o.Dirs.Tool(), Spawner: o.Spawner},
		starts:  make(chan struct{}, startsAtOnce),
	}, nil
}

// Kind is that of the trees.
func (d *Driver) Kind() spec.DriverKind { return d.trees.Kind() }

// List returns the names that have a record, an unreadable one included, and those of instances whose record is lost.
func (d *Driver) List(context.Context) ([]string, error) {
	names, err := d.store.names()
	if err != nil {
		return nil, err
	}
	marks, err := d.trees.Marks()
	if err != nil {
		return nil, fmt.Errorf("list daemons: %w", err)
	}
	if len(marks) > 0 {
		names = slices.AppendSeq(names, maps.Keys(marks))
		slices.Sort(names)
		names = slices.Compact(names)
	}
	return names, nil
}

// Apply does one step under the daemon's lock.
func (d *Driver) Apply(ctx context.Context, step spec.Step) error {
	defer d.watch.tell(step.Name) // once for the step, instead of once for each record it writes
	return drivers.Verbs{
		spec.VerbStart: d.start, spec.VerbStop: d.stop, spec.VerbStamp: d.stamp, spec.VerbReload: d.reload, spec.VerbRemove: d.remove,
		spec.VerbAdopt: d.adoptRunning,
	}.Apply(ctx, d.Kind(), d.dirs, step)
}

// tryLock takes the daemon's lock if nobody has it. It returns nil where somebody has.
func (d *Driver) tryLock(name string) (*flock.Held, error) {
	h, err := drivers.TryLockName(d.dirs, name)
	if errors.Is(err, flock.ErrHeld) {
		return nil, nil
	}
	return h, err
}

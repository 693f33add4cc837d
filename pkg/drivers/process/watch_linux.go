package process

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/flock"
	"reconciler.dev/reconciler/internal/pidfd"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// watching are the main processes that are watched for their end: all that this driver knows of, while Watch runs.
type watching struct {
	mu    sync.Mutex
	armed map[string]*arm
	// by are the calls of Watch.
	by map[*watcher]bool
	// emptying are the waits for the end of what ended instances left, by the name of the daemon.
	emptying map[string]emptying
}

// emptying is a wait for a tree to lose its last process.
type emptying struct {
	id     string
	cancel func()
}

// watcher is one call of Watch.
type watcher struct {
	changed func(name string)
	// ended deals with an end while the call lasts.
	ended func(name string, a *arm)
}

// arm is a wait for the end of one main process.
type arm struct {
	id     string
	pid    int
	fd     pidfd.FD
	since  time.Time // when the process was started, or was first seen
	cancel func()
}

// adopt takes over fd, which holds on to the main process of i, and watches it if anybody watches.
func (d *Driver) adopt(name string, i *spec.Instance, fd pidfd.FD) {
	if fd == pidfd.None {
		return
	}
	w := &d.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.by) == 0 {
		fd.Close()
		return
	}
	w.reap(name)
	w.drop(name)
	a := &arm{id: i.ID, pid: i.PID, since: i.StartedAt, fd: fd}
	cancel, err := d.ends.Add(fd, func() { go w.dispatch(name, a) })
	if err != nil {
		fd.Close() // out of descriptors: the resync sees what the watch can't
		return
	}
	a.cancel = cancel
	w.armed[name] = a
}

// dispatch has one of those who watch deal with an end.
func (w *watching) dispatch(name string, a *arm) {
	w.mu.Lock()
	var one *watcher
	for one = range w.by {
		break
	}
	w.mu.Unlock()
	if one != nil {
		one.ended(name, a)
	}
}

// drop ends the watch of a name. The caller holds the mutex.
func (w *watching) drop(name string) {
	if a := w.armed[name]; a != nil {
		a.cancel()
		a.fd.Close()
		delete(w.armed, name)
	}
}

// on tells whether anybody watches.
func (w *watching) on() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.by) > 0
}

// has tells whether the main process of i is watched.
func (w *watching) has(name string, i *spec.Instance) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.armed[name]
	return a != nil && a.id == i.ID && a.pid == i.PID
}

// borrow returns a descriptor of its own for the main process of i, opened while that lived.
func (w *watching) borrow(name string, i *spec.Instance) (pidfd.FD, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.armed[name]
	if a == nil || a.id != i.ID || a.pid != i.PID {
		return pidfd.None, false
	}
	fd, err := unix.FcntlInt(uintptr(a.fd), unix.F_DUPFD_CLOEXEC, 0)
	return pidfd.FD(fd), err == nil
}

// take ends the watch of the main process of i and returns what holds on to it; None where it has ended and nobody watched.
func (w *watching) take(name string, i *spec.Instance) (pidfd.FD, error) {
	if i.Exit != nil {
		return pidfd.None, nil
	}
	w.mu.Lock()
	if a := w.armed[name]; a != nil && a.id == i.ID && a.pid == i.PID {
		a.cancel()
		delete(w.armed, name)
		w.mu.Unlock()
		return a.fd, nil
	}
	w.mu.Unlock()
	fd, err := pidfd.Open(i.PID)
	if errors.Is(err, pidfd.ErrGone) {
		return pidfd.None, nil
	}
	if err != nil {
		return pidfd.None, err
	}
	if live, err := same(fd, i); !live || err != nil {
		fd.Close()
		return pidfd.None, err
	}
	return fd, nil
}

// Watch tells of ends as they happen, and of records that other processes write. It waits without polling.
func (d *Driver) Watch(ctx context.Context, changed func(name string)) error {
	if err := d.store.makeDir(); err != nil {
		return fmt.Errorf("watch daemons: %w", err)
	}
	fs, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch daemons: %w", err)
	}
	defer fs.Close()
	if err := fs.Add(d.store.dir); err != nil {
		return fmt.Errorf("watch %s: %w", d.store.dir, err)
	}
	defer d.beginWatch(ctx, changed)()
	if err := d.armAll(); err != nil {
		return fmt.Errorf("watch daemons: %w", err)
	}
	_ = d.keepHeld(ctx) // Housekeep says what is the matter
	changed("")
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-fs.Errors:
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				return fmt.Errorf("watch %s: %w", d.store.dir, err)
			}
			if err := d.armAll(); err != nil {
				return fmt.Errorf("watch daemons: %w", err)
			}
			changed("")
		case e := <-fs.Events:
			if e.Name == d.store.dir {
				return fmt.Errorf("watch %s: it was removed", d.store.dir)
			}
			name := recordName(e.Name)
			if name == "" || e.Op == fsnotify.Chmod || d.store.ours(name) {
				continue
			}
			d.arm(name)
			if rec, err := d.store.read(name); err == nil && rec != nil && rec.listens() && !d.watch.hasHolder() {
				_ = d.keepHeld(ctx)
			}
			changed(name)
		}
	}
}

// beginWatch has changed told of ends, until the returned function is called.
func (d *Driver) beginWatch(ctx context.Context, changed func(string)) (end func()) {
	w := &d.watch
	me := &watcher{changed: changed, ended: func(name string, a *arm) {
		if name == holderName {
			d.holderEnded(ctx, a)
			return
		}
		d.ended(ctx, name, a)
	}}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.by == nil {
		w.armed, w.by, w.emptying = map[string]*arm{}, map[*watcher]bool{}, map[string]emptying{}
	}
	w.by[me] = true
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.by, me)
		if len(w.by) > 0 {
			return
		}
		for name := range w.armed {
			w.drop(name)
		}
		for name, e := range w.emptying {
			e.cancel()
			delete(w.emptying, name)
		}
	}
}

// awaitStrays has those who watch told when the last process has gone of what an ended instance left, where its tree can tell.
func (d *Driver) awaitStrays(t Tree) {
	w := &d.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	was, waiting := w.emptying[t.Name]
	if len(w.by) == 0 || waiting && was.id == t.ID {
		return
	}
	cancel, err := d.trees.WhenEmpty(t, func() { go d.straysGone(t) })
	if err != nil || cancel == nil {
		return // the resync sees what the watch can't
	}
	if waiting {
		was.cancel()
	}
	w.emptying[t.Name] = emptying{t.ID, cancel}
}

// straysGone records that nothing is left of an instance, and tells of it.
func (d *Driver) straysGone(t Tree) {
	d.watch.mu.Lock()
	if d.watch.emptying[t.Name].id == t.ID {
		delete(d.watch.emptying, t.Name)
	}
	d.watch.mu.Unlock()
	d.recordGone(t.Name) // what it can't do, the next step or Housekeep does
	d.watch.tell(t.Name)
}

// armAll watches every live instance that isn't watched yet.
func (d *Driver) armAll() error {
	names, err := d.store.names()
	for _, name := range names {
		d.arm(name)
	}
	return err
}

// arm watches the instance that the record names, if it lives. What can't be watched is looked at by whoever is told next.
func (d *Driver) arm(name string) {
	rec, err := d.store.read(name)
	if err != nil || rec == nil || rec.Instance == nil || rec.Instance.Exit != nil {
		d.watch.mu.Lock()
		defer d.watch.mu.Unlock()
		d.watch.reap(name)
		return
	}
	if d.watch.has(name, rec.Instance) {
		return
	}
	fd, err := pidfd.Open(rec.Instance.PID)
	if err != nil {
		return
	}
	if live, err := same(fd, rec.Instance); !live || err != nil {
		fd.Close()
		return
	}
	d.adopt(name, rec.Instance, fd)
}

// reap ends the watch of a name whose process has ended, after somebody recorded that. Where it was our child, nobody but us can clear it away. One that lives
// is watched on, whatever the record said when it was read. The caller holds the mutex.
func (w *watching) reap(name string) {
	a := w.armed[name]
	if a == nil {
		return
	}
	if ended, err := a.fd.Ended(); ended && err == nil {
		a.fd.Status(a.pid, false)
		w.drop(name)
	}
}

// ended records the end of a watched process, watches what takes its place, and tells of it.
func (d *Driver) ended(ctx context.Context, name string, a *arm) {
	lock, err := drivers.LockName(ctx, d.dirs, name)
	if err == nil {
		d.afterEnd(name, a, lock)
	}
	d.watch.tell(name)
}

// tell tells everybody who watches that a daemon may have changed.
func (w *watching) tell(name string) {
	w.mu.Lock()
	by := slices.Collect(maps.Keys(w.by))
	w.mu.Unlock()
	for _, one := range by {
		one.changed(name)
	}
}

func (d *Driver) afterEnd(name string, a *arm, lock *flock.Held) {
	defer lock.Release()
	d.settle(name, noMarks) // what it can't find out, those who are told will
	d.watch.mu.Lock()
	defer d.watch.mu.Unlock()
	if d.watch.armed[name] == a {
		d.watch.reap(name)
	}
}

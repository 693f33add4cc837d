package systemd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// reread makes sure that the manager knows what is on disk for a unit. It knows where the unit isn't loaded, for it reads the file when it loads it, and units that are stopped and that
// nothing refers to it unloads by itself. Only where that isn't so it has to read everything again, once for all who need it at that time.
func (d *Driver) reread(ctx context.Context, l *link, unit string) error {
	for range 3 {
		_, missing := os.Lstat(d.scope.file(unit))
		stale, err := l.stale(ctx, unit, d.scope.file(unit), missing == nil)
		if err != nil || !stale {
			return err
		}
		if err := d.reloads.run(ctx, func(ctx context.Context) error { return d.reloadManager(ctx, l) }); err != nil {
			return fmt.Errorf("have systemd read its units again: %w", err)
		}
	}
	return nil // somebody writes units all the time; what was ours to have read is read
}

// stale tells whether the manager has loaded a unit from something else than what is on disk. One that ran on without its file it calls not-found, and once the file is there
// again it says that it couldn't load it (EBUSY), and neither that nor its start makes it read it.
//
// That another file came to stand above the one that it has read, it doesn't tell; so where it has read one it is asked which.
func (l *link) stale(ctx context.Context, unit, file string, there bool) (bool, error) {
	if loaded, err := l.isLoaded(ctx, unit); err != nil || !loaded {
		return false, err
	}
	f, err := l.get(ctx, unit, map[string][]string{unitInterface: {"NeedDaemonReload", "LoadState", "FragmentPath"}})
	return f.NeedReload || err == nil && there && (f.Load != "loaded" || f.Fragment != file && !sameFile(f.Fragment, file)), err
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	y, err2 := os.Stat(b)
	return err == nil && err2 == nil && os.SameFile(x, y)
}

// reloads joins the wishes for a reload of the manager.
type reloads struct {
	count atomic.Int64

	mu   sync.Mutex
	next *oneReload
	busy bool
	// wishes counts those that were ever made.
	wishes int
}

// oneReload is one reload, for all who wished for it before it began.
type oneReload struct {
	done chan struct{}
	err  error
}

// run returns once a reload that began after the call has ended. The one that begins it does it for the others.
func (r *reloads) run(ctx context.Context, reload func(context.Context) error) error {
	r.mu.Lock()
	if r.next == nil {
		r.next = &oneReload{done: make(chan struct{})}
	}
	mine := r.next
	r.wishes++
	if !r.busy {
		r.busy = true
		go r.work(context.WithoutCancel(ctx), reload)
	}
	r.mu.Unlock()
	select {
	case <-mine.done:
		return mine.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// work does what is wished for until there is no wish left.
func (r *reloads) work(ctx context.Context, reload func(context.Context) error) {
	for {
		r.gather()
		r.mu.Lock()
		mine := r.next
		if r.next = nil; mine == nil {
			r.busy = false
			r.mu.Unlock()
			return
		}
		r.mu.Unlock()
		r.count.Add(1)
		mine.err = reload(ctx)
		close(mine.done)
	}
}

// How long a reload waits for more who wish for it: until none has come for a while, at most. A reload takes the manager much longer, and nothing else gets done meanwhile.
const (
	gatherWhile = 20 * time.Millisecond
	gatherMost  = 10 * gatherWhile
)

// gather waits for more wishes.
func (r *reloads) gather() {
	made := -1
	tick := time.NewTicker(gatherWhile)
	defer tick.Stop()
	for range gatherMost / gatherWhile {
		r.mu.Lock()
		now, wanted := r.wishes, r.next != nil
		r.mu.Unlock()
		if now == made || !wanted {
			return
		}
		made = now
		<-tick.C
	}
}

// reloadManager has the manager read all units again, and forget on the way which units its boot target wants: a unit that another one names it never unloads, so that
// each later change of such a one would cost another reload. At the next boot it reads the links again.
//
// A link to /dev/null in a directory of higher priority takes a dependency away (systemd.unit(5)); these are in /run, so that a crash here can't keep anything from starting at
// boot.
func (d *Driver) reloadManager(ctx context.Context, l *link) error {
	hide := filepath.Join(d.scope.control(), filepath.Base(d.scope.wants))
	hidden, err := d.hideWants(hide)
	if err == nil {
		err = l.call(ctx, "Reload").Store()
	}
	for _, path := range hidden {
		err = errors.Join(err, os.Remove(path))
	}
	if len(hidden) > 0 {
		_ = os.Remove(hide) // which stays where somebody else keeps something in it
	}
	return err
}

// hideWants takes the links of our units away from the manager's sight.
func (d *Driver) hideWants(dir string) (hidden []string, err error) {
	found, err := d.units.scan(nil)
	if err != nil {
		return nil, err
	}
	links, err := os.ReadDir(d.scope.wants)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, e := range links {
		if f := found[e.Name()]; f == nil || f.stamp == nil {
			continue
		}
		if hidden == nil {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return nil, err
			}
		}
		path := filepath.Join(dir, e.Name())
		switch err := os.Symlink("/dev/null", path); {
		case err == nil:
			hidden = append(hidden, path)
		case !errors.Is(err, fs.ErrExist):
			return hidden, err
		}
	}
	return hidden, nil
}

package systemd

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/fsnotify/fsnotify"

	"reconciler.dev/reconciler/internal/atomicfile"
)

// eyes watch the directories in which somebody may change what concerns our units.
type eyes struct {
	d  *Driver
	fs *fsnotify.Watcher

	mu sync.Mutex
	// daemons are the names by unit.
	daemons map[string]string
}

// openEyes begins to watch. The directory of unit files and that of their links are made where there are none: nothing tells of their making elsewhere.
func (d *Driver) openEyes() (*eyes, error) {
	for _, dir := range []string{d.scope.units, d.scope.wants} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	e := &eyes{d: d, fs: w, daemons: map[string]string{}}
	for _, dir := range []string{d.scope.units, d.scope.wants} {
		if err := w.Add(dir); err != nil {
			w.Close()
			return nil, err
		}
	}
	return e, nil
}

func (e *eyes) close() { e.fs.Close() }

// name is the daemon that a unit is, empty where it is none of ours.
func (e *eyes) name(unit string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.daemons[unit]
}

// arm finds out which units are ours, and watches what goes over their settings.
func (e *eyes) arm() error {
	found, err := e.d.units.scan(nil)
	if err != nil {
		return err
	}
	e.mu.Lock()
	for _, f := range found {
		e.know(f)
	}
	e.mu.Unlock()
	for _, dir := range e.d.scope.editable() {
		if err := e.add(dir); errors.Is(err, fs.ErrNotExist) {
			err = e.add(filepath.Dir(dir)) // tells when it is made
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		entries, _ := os.ReadDir(dir)
		for _, x := range entries {
			if unit, ok := strings.CutSuffix(x.Name(), ".d"); ok && e.name(unit) != "" {
				_ = e.add(filepath.Join(dir, x.Name()))
			}
		}
	}
	return nil
}

func (e *eyes) add(dir string) error { return e.fs.Add(dir) }

// know remembers whose a unit is, and those of its sockets.
func (e *eyes) know(f *unitFile) {
	if f.stamp == nil {
		return
	}
	e.daemons[f.unit] = f.stamp.Name
	for _, unit := range socketUnits(f.stamp) {
		e.daemons[unit] = f.stamp.Name
	}
}

// see returns the daemons that an event may concern; one that is empty says that it may be any.
func (e *eyes) see(ev fsnotify.Event) []string {
	base, dir := filepath.Base(ev.Name), filepath.Dir(ev.Name)
	switch {
	case atomicfile.IsTemp(base):
		return nil
	case strings.HasSuffix(base, ".service"):
		return e.sawUnit(dir, base)
	case strings.HasSuffix(base, ".socket"):
		return e.named(base)
	case strings.HasSuffix(base, ".service.d") || strings.HasSuffix(base, ".socket.d"):
		if ev.Has(fsnotify.Create) {
			_ = e.add(ev.Name) // one that is gone already tells nothing
		}
		return e.named(strings.TrimSuffix(base, ".d"))
	case strings.HasSuffix(dir, ".service.d") || strings.HasSuffix(dir, ".socket.d"):
		return e.named(strings.TrimSuffix(filepath.Base(dir), ".d"))
	case ev.Has(fsnotify.Create) && e.editable(ev.Name):
		_ = e.arm()
		return []string{""}
	default:
		return nil
	}
}

// sawUnit learns which daemon a unit is, where one of ours was written.
func (e *eyes) sawUnit(dir, unit string) []string {
	if dir == e.d.scope.units {
		e.learn(unit)
	}
	return e.named(unit)
}

// learn returns the daemon that a unit is, empty where it is none of ours, also of one that wasn't known yet.
func (e *eyes) learn(unit string) string {
	if f := e.d.units.read(unit); f.stamp != nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.know(f)
		return f.stamp.Name
	}
	return e.name(unit)
}

func (e *eyes) named(unit string) []string {
	if name := e.name(unit); name != "" {
		return []string{name}
	}
	return nil
}

func (e *eyes) editable(dir string) bool {
	return slices.Contains(e.d.scope.editable(), dir)
}

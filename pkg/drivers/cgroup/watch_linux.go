package cgroup

import (
	"fmt"
	"path/filepath"
	"sync"

	"github.com/fsnotify/fsnotify"

	"reconciler.dev/reconciler/pkg/drivers/process"
)

// emptying tells when leaves become empty: one inotify(7) instance for all of them, which is there while there is one to wait for. The kernel tells of a change of cgroup.events
// as of a write. The zero emptying is ready for use.
type emptying struct {
	mu    sync.Mutex
	fs    *fsnotify.Watcher
	waits map[string]*wait // by the path of cgroup.events
}

type wait struct{ emptied func() }

// WhenEmpty watches the leaf's cgroup.events.
func (ts *trees) WhenEmpty(t process.Tree, emptied func()) (cancel func(), err error) {
	dir, err := ts.dirOf(t)
	if err != nil {
		return nil, err
	}
	return ts.emptying.add(dir, emptied)
}

func (e *emptying) add(dir string, emptied func()) (cancel func(), err error) {
	file := filepath.Join(dir, "cgroup.events")
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.fs == nil {
		if e.fs, err = fsnotify.NewWatcher(); err != nil {
			e.fs = nil
			return nil, fmt.Errorf("watch cgroup %s: %w", dir, err)
		}
		e.waits = map[string]*wait{}
		go e.run(e.fs)
	}
	w := &wait{emptied}
	e.waits[file] = w
	if err := e.fs.Add(file); err != nil { // a leaf that is gone already is as good as empty
		go e.look(file)
		return func() { e.forget(file, w) }, nil
	}
	go e.look(file) // it may have become empty before
	return func() { e.forget(file, w) }, nil
}

func (e *emptying) forget(file string, w *wait) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.waits[file] != w {
		return
	}
	delete(e.waits, file)
	e.fs.Remove(file) // an error says that the kernel has done so
	if len(e.waits) == 0 {
		e.fs.Close()
		e.fs = nil
	}
}

// run delivers until fs is closed.
func (e *emptying) run(fs *fsnotify.Watcher) {
	for {
		select {
		case ev, ok := <-fs.Events:
			if !ok {
				return
			}
			e.look(ev.Name)
		case _, ok := <-fs.Errors:
			if !ok {
				return
			}
			e.lookAll() // something may have been missed
		}
	}
}

func (e *emptying) lookAll() {
	e.mu.Lock()
	var files []string
	for f := range e.waits {
		files = append(files, f)
	}
	e.mu.Unlock()
	for _, f := range files {
		e.look(f)
	}
}

// look tells of a leaf that is empty.
func (e *emptying) look(file string) {
	if full, err := populated(filepath.Dir(file)); full || err != nil {
		return
	}
	e.mu.Lock()
	w := e.waits[file]
	e.mu.Unlock()
	if w != nil {
		e.forget(file, w)
		w.emptied()
	}
}

package drivers

import (
	"context"
	"sync"
	"time"

	"reconciler.dev/reconciler/internal/filewatch"
	"reconciler.dev/reconciler/pkg/spec"
)

// afterwards is how long after a daemon changed its list of config files is read again: out of the way of whoever is just healing it.
const afterwards = 100 * time.Millisecond

// watch is the driver's Watch, and also tells of daemons whose config files may have changed.
func (f *files) watch(ctx context.Context, changed func(name string)) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	w := &filesWatch{files: f, changed: changed, dirty: map[string]bool{}, some: make(chan struct{}, 1), paths: map[string][]string{}}
	wg.Go(func() { w.follow(ctx, &wg) })
	return f.driver.Watch(ctx, func(name string) {
		changed(name)
		w.mark(name)
	})
}

// filesWatch keeps the watched paths in step with the stamps.
type filesWatch struct {
	files   *files
	changed func(name string)

	mu    sync.Mutex
	dirty map[string]bool
	some  chan struct{} // holds a token while dirty has names
	paths map[string][]string
}

func (w *filesWatch) mark(name string) {
	w.mu.Lock()
	w.dirty[name] = true
	w.mu.Unlock()
	select {
	case w.some <- struct{}{}:
	default:
	}
}

// follow reads the stamps of what changed, a moment later and many at a time. The kernel is asked to watch only once there is a file to watch.
func (w *filesWatch) follow(ctx context.Context, wg *sync.WaitGroup) {
	watcher := filewatch.New(filewatch.Options{Quiet: afterwards})
	running := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.some:
		}
		pause := time.NewTimer(afterwards)
		select {
		case <-ctx.Done():
			pause.Stop()
			return
		case <-pause.C:
		}
		all := w.refresh(ctx)
		if len(all) == 0 && !running {
			continue
		}
		watcher.SetFiles(all)
		if !running {
			running = true
			wg.Go(func() { _ = watcher.Run(ctx, w.tell) }) // it ends only with ctx
		}
	}
}

// refresh returns the paths of all config files. What can't be looked at keeps those it had.
func (w *filesWatch) refresh(ctx context.Context) []string {
	names := w.take()
	if names == nil {
		names, _ = w.files.driver.List(ctx) // a failure is found by the loop, which lists and looks too
	}
	found, err := w.files.driver.Observe(ctx, names...)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		for _, o := range found {
			if o.State != spec.Unknown {
				w.set(o)
			}
		}
	}
	var all []string
	for _, paths := range w.paths {
		all = append(all, paths...)
	}
	return all
}

// take returns the names that changed, nil for all of them.
func (w *filesWatch) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer clear(w.dirty)
	if w.dirty[""] {
		clear(w.paths)
		return nil
	}
	names := make([]string, 0, len(w.dirty))
	for name := range w.dirty {
		names = append(names, name)
	}
	return names
}

func (w *filesWatch) set(o spec.Observed) {
	delete(w.paths, o.Name)
	if o.Stamp == nil {
		return
	}
	for _, file := range o.Stamp.Spec.Files {
		w.paths[o.Name] = append(w.paths[o.Name], file.Path)
	}
}

// tell tells of every daemon that has config files: which file it was isn't known, and looking at one costs a stat.
func (w *filesWatch) tell() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name := range w.paths {
		w.changed(name)
	}
}

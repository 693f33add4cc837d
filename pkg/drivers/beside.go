package drivers

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"reconciler.dev/reconciler/internal/filewatch"
	"reconciler.dev/reconciler/internal/plainfile"
	"reconciler.dev/reconciler/pkg/spec"
)

// afterwards is how long after a daemon changed its list of files is read again: out of the way of whoever is just healing it.
const afterwards = 100 * time.Millisecond

// beside tells of what happens beside the processes of daemons: to their config files, their programs, and in the books of what users paused. All of that is one watch of the kernel's, with
// one entry for each folder, however many daemons have a file there.
type beside struct {
	d       *decorated
	changed func(name string)
	watcher *filewatch.Watcher
	books   []*bookNews

	mu    sync.Mutex
	dirty map[string]bool
	some  chan struct{} // holds a token while dirty has names
	uses  map[string][]watched
	seen  map[watched]fs.FileInfo // as they were when they were told of last; nil: not there
}

// watched is a file of which changes are told.
type watched struct {
	path    string
	program bool // it is told when another one stands there, or leads there
}

// watchBeside is the driver's Watch, and also tells of what happens beside the processes.
func (d *decorated) watchBeside(ctx context.Context, changed func(name string)) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	w := &beside{d: d, changed: changed, dirty: map[string]bool{}, some: make(chan struct{}, 1), uses: map[string][]watched{}, seen: map[watched]fs.FileInfo{}}
	o := filewatch.Options{Quiet: afterwards}
	for _, b := range []*pauseBook{d.pauses.book, d.holds.book} {
		w.books = append(w.books, newBookNews(b))
		o.Roots = append(o.Roots, b.path())
	}
	w.watcher = filewatch.New(o)
	wg.Go(func() { _ = w.watcher.Run(ctx, w.tell) }) // it ends only with ctx
	wg.Go(func() { w.follow(ctx) })
	return d.Driver.Watch(ctx, func(name string) {
		changed(name)
		w.mark(name)
	})
}

func (w *beside) mark(name string) {
	w.mu.Lock()
	w.dirty[name] = true
	w.mu.Unlock()
	select {
	case w.some <- struct{}{}:
	default:
	}
}

// follow keeps what is watched in step with the stamps: it reads those of what changed, a moment later and many at a time.
func (w *beside) follow(ctx context.Context) {
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
		w.watcher.SetFiles(w.refresh(ctx))
	}
}

// refresh returns what is to be watched. What can't be looked at keeps what it had.
func (w *beside) refresh(ctx context.Context) (files, programs []string) {
	names := w.take()
	if names == nil {
		names, _ = w.d.Driver.List(ctx) // a failure is found by the loop, which lists and looks too
	}
	found, err := w.d.Driver.Observe(ctx, names...)
	if err != nil {
		found = nil
	}
	w.mu.Lock()
	for _, o := range found {
		if o.State != spec.Unknown {
			w.set(o)
		}
	}
	files, programs = w.all()
	w.mu.Unlock()
	look := newImages(w.d.programs.store)
	for _, o := range found {
		if o.Stamp != nil && standsAlone(&o.Stamp.Spec) && len(look.drift(&o)) > 0 {
			w.changed(o.Name) // it was started just before the file was replaced, and wasn't known here then
		}
	}
	return files, programs
}

// all returns what is used, and forgets what isn't any more. The caller holds w.mu.
func (w *beside) all() (files, programs []string) {
	used := make(map[watched]fs.FileInfo, len(w.seen))
	for _, all := range w.uses {
		for _, u := range all {
			used[u] = w.seen[u]
		}
	}
	w.seen = used
	for u := range used {
		if u.program {
			programs = append(programs, u.path)
		} else {
			files = append(files, u.path)
		}
	}
	return files, programs
}

// take returns the names that changed, nil for all of them.
func (w *beside) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer clear(w.dirty)
	if w.dirty[""] {
		clear(w.uses)
		return nil
	}
	names := make([]string, 0, len(w.dirty))
	for name := range w.dirty {
		names = append(names, name)
	}
	return names
}

// set notes what a daemon uses. A config file that wasn't watched yet counts as missing until the next tell, because it may have changed before. The caller holds w.mu.
func (w *beside) set(o spec.Observed) {
	delete(w.uses, o.Name)
	if o.Stamp == nil {
		return
	}
	for _, file := range o.Stamp.Spec.Files {
		w.uses[o.Name] = append(w.uses[o.Name], watched{path: file.Path})
	}
	if !standsAlone(&o.Stamp.Spec) {
		return
	}
	u := watched{path: o.Stamp.Spec.Binary, program: true}
	w.uses[o.Name] = append(w.uses[o.Name], u)
	if w.seen[u] == nil {
		w.seen[u] = u.look()
	}
}

// standsAlone says whether a daemon's program is a file that somebody may replace: not one that is run from where programs are kept by their content.
func standsAlone(s *spec.Spec) bool {
	return filepath.IsAbs(s.Binary) && (s.Install == nil || s.Install.To != "")
}

// look is what stands there now; nil where there is nothing, or that can't be told.
func (u watched) look() fs.FileInfo {
	look := os.Lstat
	if u.program {
		look = os.Stat
	}
	info, err := look(u.path)
	if err != nil {
		return nil
	}
	return info
}

// same says whether nobody touched a file between two looks.
func same(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime()) && a.Mode() == b.Mode()
}

// unfinished is how soon it is looked again at a program that somebody is just writing.
const unfinished = 250 * time.Millisecond

// tell tells of the daemons whose files aren't what they were, and of what is new in the books.
func (w *beside) tell() {
	for _, b := range w.books {
		b.tell(w.changed)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	moved := map[watched]bool{}
	for u, before := range w.seen {
		now := u.look()
		if same(before, now) {
			continue
		}
		if u.program && now != nil && now.Mode().IsRegular() && plainfile.Growing(u.path) {
			time.AfterFunc(unfinished, w.watcher.Poke)
			continue
		}
		w.seen[u], moved[u] = now, true
	}
	for name, all := range w.uses {
		for _, u := range all {
			if moved[u] {
				w.changed(name)
				break
			}
		}
	}
}

// bookNews tells what changes in a book.
type bookNews struct {
	book   *pauseBook
	before map[string]spec.Pause
	failed bool
}

func newBookNews(b *pauseBook) *bookNews {
	n := &bookNews{book: b}
	n.before, _ = b.read() // an error is found by the next look, which reads it too
	return n
}

// tell tells of daemons that came into the book since the last call, or went; of all where it became unreadable. It is called by one goroutine.
func (n *bookNews) tell(changed func(name string)) {
	now, err := n.book.read()
	if (err != nil) != n.failed {
		n.failed = !n.failed
		changed("")
	}
	if err != nil {
		return
	}
	for name := range n.before {
		if _, still := now[name]; !still {
			changed(name)
		}
	}
	for name := range now {
		if _, already := n.before[name]; !already {
			changed(name)
		}
	}
	n.before = now
}

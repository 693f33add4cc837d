package filewatch

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Options say what to watch, and how.
type Options struct {
	// Roots are files and folders. What doesn't exist yet is watched for.
	Roots []string
	// Recursive watches the folders in folders too, also those that are made later, but none that begins with a dot and no link to one.
	Recursive bool
	// Match says which names in a folder matter. Nil: all but hidden ones and backups.
	Match func(name string) bool
	// Quiet is how long it must have been quiet before a burst of changes is told, and Longest how long that may put it off. Defaults:
	// 100 ms and 1 s.
	Quiet, Longest time.Duration
	// Poll is how often contents are compared where the kernel doesn't tell of changes. Default: 5 s.
	Poll time.Duration
	// Report is told why changes are seen later than they could be. May be nil.
	Report func(error)
}

// Watcher watches what its Options say, and the files of SetFiles. Its methods may be called concurrently. Make one with New.
type Watcher struct {
	o      Options
	open   func() (notifier, error)
	remote func(dir string) bool

	mu       sync.Mutex
	files    []string
	programs []string
	trees    []Tree

	moved chan struct{} // files, programs or trees changed
	poked chan struct{}
}

// notifier is what the kernel tells by.
type notifier interface {
	Add(dir string) error
	Remove(dir string) error
	Events() <-chan fsnotify.Event
	Errors() <-chan error
	Close() error
}

type inotifier struct{ *fsnotify.Watcher }

func (n inotifier) Events() <-chan fsnotify.Event { return n.Watcher.Events }
func (n inotifier) Errors() <-chan error          { return n.Watcher.Errors }

func openNotifier() (notifier, error) {
	w, err := fsnotify.NewWatcher()
	return inotifier{w}, err
}

// New returns a watcher that doesn't watch yet.
func New(o Options) *Watcher {
	if o.Match == nil {
		o.Match = func(name string) bool { return !isNoise(name) }
	}
	if o.Report == nil {
		o.Report = func(error) {}
	}
	o.Quiet = orDefault(o.Quiet, 100*time.Millisecond)
	o.Longest = orDefault(o.Longest, time.Second)
	o.Poll = orDefault(o.Poll, 5*time.Second)
	return &Watcher{o: o, open: openNotifier, remote: isRemote, moved: make(chan struct{}, 1), poked: make(chan struct{}, 1)}
}

func orDefault(d, other time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return other
}

// SetFiles replaces the other files that are watched. Of programs it matters which file stands there, or where its name leads; they are never read. Where that makes a difference Run calls changed once
// they are watched, for they may have changed before.
func (w *Watcher) SetFiles(files, programs []string) {
	files, programs = sorted(files), sorted(programs)
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Equal(files, w.files) || !slices.Equal(programs, w.programs) {
		w.files, w.programs = files, programs
		signal(w.moved)
	}
}

// sorted is each name once, in order.
func sorted(names []string) []string {
	names = slices.Clone(names)
	slices.Sort(names)
	return slices.Compact(names)
}

// Tree is a folder of which some files matter, however deep they lie.
type Tree struct {
	// Dir is the folder.
	Dir string
	// Patterns are those of package glob that mean the files; one that can't be understood means none. But is a file that they don't mean, relative to Dir, with slashes.
	Patterns []string
	But      string
}

// SetTrees replaces the trees that are watched, as SetFiles does the files. What changes in them is told sooner than Options.Quiet says: whoever works on them reads them again, and again,
// at no harm.
func (w *Watcher) SetTrees(trees []Tree) {
	trees = slices.Clone(trees)
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.EqualFunc(trees, w.trees, func(a, b Tree) bool { return a.Dir == b.Dir && a.But == b.But && slices.Equal(a.Patterns, b.Patterns) }) {
		w.trees = trees
		signal(w.moved)
	}
}

// Poke makes Run call changed as if something had changed.
func (w *Watcher) Poke() { signal(w.poked) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run calls changed once everything is watched, and then after every burst of changes, until ctx ends; it returns ctx.Err(). Where the
// kernel can't watch, contents are compared every Options.Poll, and Options.Report is told why. It can be called once at a time.
func (w *Watcher) Run(ctx context.Context, changed func()) error {
	r := &round{w: w, held: map[string]fs.FileInfo{}, busy: map[string]bool{}, idle: map[string]int{}}
	n, err := w.open()
	if err != nil {
		r.blind = explain("watch the manifests", err)
	} else {
		r.kernel, r.events, r.errors = n, n.Events(), n.Errors()
		defer n.Close()
	}
	r.arm()
	changed()
	for {
		tell, err := r.wait(ctx)
		if err != nil {
			return err
		}
		if tell {
			r.burst = burst{}
			r.arm() // before the look: what comes after the look is seen
			changed()
		}
	}
}

// round is the state of one Run, for its goroutine only.
type round struct {
	w      *Watcher
	kernel notifier // nil: there is none
	events <-chan fsnotify.Event
	errors <-chan error

	points   points
	held     map[string]fs.FileInfo // the folders that kernel watches
	busy     map[string]bool        // the folders in which too much happens that matters to nobody
	idle     map[string]int         // how much of that there was, by folder, in the second that began at counted
	counted  time.Time
	blind    error             // why the kernel doesn't tell everything
	told     bool              // of that
	poll     *time.Timer       // nil: the kernel tells everything
	contents [sha256.Size]byte // when it was last polled
	burst    burst
}

// arm watches what is there now.
func (r *round) arm() {
	w := r.w
	w.mu.Lock()
	files, programs, trees := w.files, w.programs, w.trees
	w.mu.Unlock()
	r.points = points{}
	for _, root := range w.o.Roots {
		r.points.root(root, w.o)
	}
	for _, f := range files {
		r.points.file(f, true)
	}
	for _, f := range programs {
		r.points.file(f, false)
	}
	for _, t := range trees {
		r.points.tree(t)
	}
	if r.kernel != nil {
		r.blind = r.hold()
	}
	if r.blind != nil && !r.told {
		w.o.Report(fmt.Errorf("%w; comparing contents every %s instead", r.blind, w.o.Poll))
	}
	r.told = r.blind != nil
	r.setPoll(r.told || len(r.busy) > 0 || r.anyRemote())
}

// hold makes the kernel watch the points, and nothing else.
func (r *round) hold() (blind error) {
	for dir := range r.held {
		if r.points[dir] == nil {
			_ = r.kernel.Remove(dir) // the kernel has let go of it where it was removed
			delete(r.held, dir)
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(r.points)) {
		if r.busy[dir] {
			continue
		}
		info, err := os.Stat(dir)
		if err != nil {
			continue // it went since; its parent tells, or the next look
		}
		if old, ok := r.held[dir]; ok {
			if os.SameFile(old, info) {
				continue
			}
			_ = r.kernel.Remove(dir) // another folder stands there now
			delete(r.held, dir)
		}
		if err := r.kernel.Add(dir); err != nil {
			if blind == nil && !errors.Is(err, fs.ErrNotExist) {
				blind = explain("watch "+dir, err)
			}
			continue
		}
		r.held[dir] = info
	}
	return blind
}

func (r *round) anyRemote() bool {
	for dir := range r.points {
		if r.w.remote(dir) {
			return true
		}
	}
	return false
}

// setPoll starts or ends the comparing of contents.
func (r *round) setPoll(on bool) {
	switch {
	case !on && r.poll != nil:
		r.poll.Stop()
		r.poll = nil
	case on && r.poll == nil:
		r.poll = time.NewTimer(r.w.o.Poll)
		fallthrough
	case on:
		r.contents = r.points.fingerprint(r.w.o)
	}
}

// wait waits for the next thing to happen, and says whether it is to be told now.
func (r *round) wait(ctx context.Context) (tell bool, err error) {
	var poll <-chan time.Time
	if r.poll != nil {
		poll = r.poll.C
	}
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case ev, ok := <-r.events:
		if !ok {
			return false, errors.New("watch the manifests: the kernel's watch ended")
		}
		if quiet := r.points.quiet(ev, r.w.o); quiet > 0 {
			r.burst.add(time.Now(), quiet, r.w.o)
			if r.held[ev.Name] != nil && !ev.Has(fsnotify.Create) {
				delete(r.held, ev.Name) // the kernel lets go of a folder that moved or went
			}
		} else {
			r.disregard(filepath.Dir(ev.Name), time.Now())
		}
		return false, nil
	case <-r.errors:
		r.burst.add(time.Now(), r.w.o.Quiet, r.w.o) // events were lost
		return false, nil
	case <-r.burst.over():
		return true, nil
	case <-r.w.moved:
		return true, nil
	case <-r.w.poked:
		return true, nil
	case <-poll:
		r.poll.Reset(r.w.o.Poll)
		return r.points.fingerprint(r.w.o) != r.contents, nil
	}
}

// busiest is how much may happen in a second in a folder of which only programs matter, as where a log is written beside one.
const busiest = 300

// disregard counts what happened in a folder and mattered to nobody. One of programs only, in which too much does, is looked at now and then from there on: each time it would wake
// this process.
func (r *round) disregard(dir string, now time.Time) {
	if now.Sub(r.counted) > time.Second {
		clear(r.idle)
		r.counted = now
	}
	if r.idle[dir]++; r.idle[dir] < busiest || r.held[dir] == nil || !r.points[dir].programsOnly() {
		return
	}
	_ = r.kernel.Remove(dir) // where the kernel let go of it by itself, all is well
	delete(r.held, dir)
	r.busy[dir] = true
	r.setPoll(true)
}

// burst is a number of changes that are told as one.
type burst struct {
	first time.Time     // zero: there is none
	quiet time.Duration // the longest that one of the changes asks for
	timer *time.Timer
}

// add counts a change at now: the burst is over when it has been quiet, but not later than the longest wait after the first.
func (b *burst) add(now time.Time, quiet time.Duration, o Options) {
	b.quiet = max(b.quiet, quiet)
	if b.timer == nil {
		b.first = now
		b.timer = time.NewTimer(quiet)
		return
	}
	b.timer.Reset(max(min(b.quiet, b.first.Add(o.Longest).Sub(now)), 0))
}

// over is nil, and so never ready, where there is no burst.
func (b *burst) over() <-chan time.Time {
	if b.timer == nil {
		return nil
	}
	return b.timer.C
}

// explain says what to do about the kernel's limits, see inotify(7).
func explain(doing string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("%s: all of the user's inotify watches are in use; raise fs.inotify.max_user_watches: %w", doing, err)
	case errors.Is(err, syscall.EMFILE):
		return fmt.Errorf("%s: all of the user's inotify instances, or of this process's files, are in use; raise fs.inotify.max_user_instances or ulimit -n: %w", doing, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

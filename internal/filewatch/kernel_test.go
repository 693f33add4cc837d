package filewatch

import (
	"context"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/google/go-cmp/cmp"
)

// reports collects what a watcher reports.
type reports struct {
	mu   sync.Mutex
	errs []error
}

func (r *reports) add(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errs = append(r.errs, err)
}

func (r *reports) all() []error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.errs
}

// fakeKernel is a notifier that tells what the test tells it to.
type fakeKernel struct {
	mu     sync.Mutex
	held   map[string]bool
	addErr error
	events chan fsnotify.Event
	errs   chan error
}

func newFakeKernel() *fakeKernel {
	return &fakeKernel{held: map[string]bool{}, events: make(chan fsnotify.Event), errs: make(chan error)}
}

func (k *fakeKernel) Add(dir string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.addErr == nil {
		k.held[dir] = true
	}
	return k.addErr
}

func (k *fakeKernel) Remove(dir string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.held, dir)
	return nil
}

func (k *fakeKernel) fail(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.addErr = err
}

func (k *fakeKernel) holds(dir string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.held[dir]
}

func (k *fakeKernel) Events() <-chan fsnotify.Event { return k.events }

func (k *fakeKernel) Errors() <-chan error { return k.errs }

func (k *fakeKernel) Close() error { return nil }

func TestContentsAreComparedWhereTheKernelDoesNotTell(t *testing.T) {
	for _, tt := range []struct {
		name   string
		spoil  func(w *Watcher)
		report string
	}{
		{"no inotify instance left", func(w *Watcher) {
			w.open = func() (notifier, error) { return nil, os.NewSyscallError("inotify_init1", syscall.EMFILE) }
		}, "max_user_instances"},
		{"no inotify watch left", func(w *Watcher) {
			k := newFakeKernel()
			k.fail(os.NewSyscallError("inotify_add_watch", syscall.ENOSPC))
			w.open = func() (notifier, error) { return k, nil }
		}, "max_user_watches"},
		{"a network file system", func(w *Watcher) {
			w.open = func() (notifier, error) { return newFakeKernel(), nil }
			w.remote = func(string) bool { return true }
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newTree(t)
			f.write("m/sub/web.yaml", "1")
			f.write("etc/app.conf", "1")
			var reported reports
			w := New(Options{Roots: []string{f.path("m")}, Recursive: true, Match: yamlOnly, Poll: 5 * time.Millisecond, Report: reported.add})
			tt.spoil(w)
			told := running(t, w)
			w.SetFiles([]string{f.path("etc/app.conf")}, nil)
			told()
			for _, change := range []func(){
				func() { f.write("m/sub/web.yaml", "2") },
				func() { f.write("m/db.yaml", "1") },
				func() { f.remove("m/db.yaml") },
				func() { f.write("m/new/one.yaml", "1") },
				func() { f.write("etc/app.conf", "2") },
				func() { f.remove("etc/app.conf") },
			} {
				change()
				told()
			}
			switch errs := reported.all(); {
			case tt.report == "" && len(errs) != 0, tt.report != "" && len(errs) != 1:
				t.Errorf("reported %d times: %v", len(errs), errs)
			case tt.report != "" && (!strings.Contains(errs[0].Error(), tt.report) || !strings.Contains(errs[0].Error(), "comparing contents every 5ms")):
				t.Errorf("reported %v, want what names %s", errs[0], tt.report)
			}
		})
	}
}

// inBubble runs a watcher of f with a fake kernel in a bubble of fake time, and returns when changed was called since the start.
func inBubble(t *testing.T, f tree, o Options, script func(k *fakeKernel, w *Watcher)) []time.Duration {
	t.Helper()
	var calls []time.Duration
	synctest.Test(t, func(t *testing.T) {
		start, k := time.Now(), newFakeKernel()
		k.events, k.errs = make(chan fsnotify.Event), make(chan error)
		w := New(o)
		w.open, w.remote = func() (notifier, error) { return k, nil }, func(string) bool { return false }
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- w.Run(ctx, func() { calls = append(calls, time.Since(start)) }) }()
		synctest.Wait()
		script(k, w)
		time.Sleep(time.Minute)
		cancel()
		<-ended
	})
	return calls
}

func TestBurstsAreToldOnce(t *testing.T) {
	const ms = time.Millisecond
	f := newTree(t)
	f.mkdir("m")
	f.mkdir("src")
	write := fsnotify.Event{Name: f.path("m/web.yaml"), Op: fsnotify.Write}
	for _, tt := range []struct {
		name   string
		script func(k *fakeKernel, w *Watcher)
		want   []time.Duration
	}{
		{"nothing", func(*fakeKernel, *Watcher) {}, []time.Duration{0}},
		{"one change", func(k *fakeKernel, _ *Watcher) { k.events <- write }, []time.Duration{0, 100 * ms}},
		{"a few in a row", func(k *fakeKernel, _ *Watcher) {
			for range 5 {
				k.events <- write
				time.Sleep(50 * ms)
			}
		}, []time.Duration{0, 300 * ms}},
		{"two bursts", func(k *fakeKernel, _ *Watcher) {
			k.events <- write
			time.Sleep(200 * ms)
			k.events <- write
		}, []time.Duration{0, 100 * ms, 300 * ms}},
		{"one that doesn't end is told all the same", func(k *fakeKernel, _ *Watcher) {
			for range 30 {
				k.events <- write
				time.Sleep(50 * ms)
			}
		}, []time.Duration{0, 1000 * ms, 1550 * ms}},
		{"what doesn't matter", func(k *fakeKernel, _ *Watcher) {
			k.events <- fsnotify.Event{Name: f.path("m/.web.yaml.swp"), Op: fsnotify.Create}
			k.events <- fsnotify.Event{Name: f.path("m/4913"), Op: fsnotify.Create}
			k.events <- fsnotify.Event{Name: f.path("m/web.yaml"), Op: fsnotify.Chmod}
			k.events <- fsnotify.Event{Name: f.path("other"), Op: fsnotify.Create}
		}, []time.Duration{0}},
		{"what changes in a tree is told sooner", func(k *fakeKernel, w *Watcher) {
			w.SetTrees([]Tree{{Dir: f.path("src"), Patterns: []string{"**/*.go"}, But: "x.go"}})
			synctest.Wait()
			k.events <- fsnotify.Event{Name: f.path("src/main.go"), Op: fsnotify.Write}
		}, []time.Duration{0, 0, treeQuiet}},
		{"and not what is no part of it", func(k *fakeKernel, w *Watcher) {
			w.SetTrees([]Tree{{Dir: f.path("src"), Patterns: []string{"**/*.go"}, But: "x.go"}})
			synctest.Wait()
			for _, name := range []string{"src/main.c", "src/x.go", "src/.git", "src/.main.go.swp"} {
				k.events <- fsnotify.Event{Name: f.path(name), Op: fsnotify.Write}
			}
		}, []time.Duration{0, 0}},
		{"with a manifest, it waits for that", func(k *fakeKernel, w *Watcher) {
			w.SetTrees([]Tree{{Dir: f.path("src"), Patterns: []string{"**/*.go"}}})
			synctest.Wait()
			k.events <- write
			k.events <- fsnotify.Event{Name: f.path("src/main.go"), Op: fsnotify.Write}
		}, []time.Duration{0, 0, 100 * ms}},
		{"events that were lost", func(k *fakeKernel, _ *Watcher) { k.errs <- fsnotify.ErrEventOverflow }, []time.Duration{0, 100 * ms}},
		{"further files don't cut a burst off", func(k *fakeKernel, w *Watcher) {
			k.events <- write
			w.SetFiles([]string{f.path("m/app.conf")}, nil)
		}, []time.Duration{0, 0}},
		{"the same further files", func(_ *fakeKernel, w *Watcher) {
			w.SetFiles([]string{f.path("m/b"), f.path("m/a")}, nil)
			synctest.Wait()
			w.SetFiles([]string{f.path("m/a"), f.path("m/b"), f.path("m/a")}, nil)
		}, []time.Duration{0, 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := inBubble(t, f, Options{Roots: []string{f.path("m")}, Match: yamlOnly}, tt.script)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("told (-want +got):\n%s", diff)
			}
		})
	}
}

// TestABusyFolderOfAProgramIsLookedAtNowAndThen: what is written beside a program wakes nobody for long, and another program is told all the same. Folders of which more matters stay watched.
func TestABusyFolderOfAProgramIsLookedAtNowAndThen(t *testing.T) {
	f := newTree(t)
	f.mkdir("m")
	f.write("bin/worker", "1")
	bin := f.path("bin")
	calls := inBubble(t, f, Options{Roots: []string{f.path("m")}, Match: yamlOnly}, func(k *fakeKernel, w *Watcher) {
		w.SetFiles(nil, []string{f.path("bin/worker")})
		synctest.Wait()
		crowd := func(name string, n int) {
			for range n {
				k.events <- fsnotify.Event{Name: f.path(name), Op: fsnotify.Write}
			}
			synctest.Wait()
		}
		for range 5 { // not too much
			crowd("bin/worker.log", busiest-1)
			time.Sleep(2 * time.Second)
		}
		crowd("m/log", 10*busiest)
		if !k.holds(bin) || !k.holds(f.path("m")) {
			t.Errorf("watched: %v", k.held)
		}
		time.Sleep(2 * time.Second)
		crowd("bin/worker.log", busiest)
		if k.holds(bin) || !k.holds(f.path("m")) {
			t.Errorf("where too much happens: watched: %v", k.held)
		}
		time.Sleep(time.Minute + time.Second) // between two polls
		f.write("bin/worker", "22")
	})
	if len(calls) != 3 || calls[2] != 77*time.Second {
		t.Errorf("told after %v, want a poll after it was replaced", calls)
	}
}

func TestWatchesAreGivenBackAndTakenAgain(t *testing.T) {
	f := newTree(t)
	f.write("m/sub/web.yaml", "1")
	sub := f.path("m/sub")
	inBubble(t, f, Options{Roots: []string{f.path("m")}, Recursive: true}, func(k *fakeKernel, w *Watcher) {
		if !k.holds(sub) || !k.holds(f.path("m")) {
			t.Errorf("watched: %v", k.held)
		}
		f.rename("m/sub", "away")
		w.Poke()
		synctest.Wait()
		if k.holds(sub) {
			t.Error("a folder that went is still watched")
		}
		f.rename("away", "m/sub")
		w.Poke()
		synctest.Wait()
		if !k.holds(sub) {
			t.Error("a folder that came back isn't watched")
		}
		k.fail(syscall.ENOSPC)
		f.mkdir("m/more")
		w.Poke()
		synctest.Wait()
		k.fail(nil)
		time.Sleep(time.Minute) // a poll sees nothing, and the kernel isn't asked again before there is a change
		w.Poke()
		synctest.Wait()
		if !k.holds(f.path("m/more")) {
			t.Error("what the kernel refused once was never asked for again")
		}
	})
}

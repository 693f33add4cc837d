package filewatch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/google/go-cmp/cmp"
)

// tree makes and changes files below a folder of the test's own.
type tree struct {
	t   *testing.T
	dir string
}

func newTree(t *testing.T) tree {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return tree{t, dir}
}

func (f tree) path(p string) string { return filepath.Join(f.dir, p) }

func (f tree) ok(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f tree) mkdir(p string) { f.t.Helper(); f.ok(os.MkdirAll(f.path(p), 0o755)) }
func (f tree) write(p, content string) {
	f.t.Helper()
	f.mkdir(filepath.Dir(p))
	f.ok(os.WriteFile(f.path(p), []byte(content), 0o644))
}
func (f tree) link(to, p string)     { f.t.Helper(); f.ok(os.Symlink(to, f.path(p))) }
func (f tree) rename(from, p string) { f.t.Helper(); f.ok(os.Rename(f.path(from), f.path(p))) }
func (f tree) remove(p string)       { f.t.Helper(); f.ok(os.RemoveAll(f.path(p))) }

// running starts a watcher that ends with the test, and returns a function that waits until it has told of a change since the last call.
func running(t *testing.T, w *Watcher) (told func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	changes, ended := make(chan struct{}, 1), make(chan error, 1)
	go func() { ended <- w.Run(ctx, func() { signal(changes) }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run = %v", err)
		}
	})
	told = func() {
		t.Helper()
		select {
		case <-changes:
		case <-time.After(20 * time.Second):
			t.Fatal("no change was told")
		}
	}
	told() // that it is armed
	return told
}

func yamlOnly(name string) bool { return filepath.Ext(name) == ".yaml" && !isNoise(name) }

func TestEveryKindOfChangeIsTold(t *testing.T) {
	for _, tt := range []struct {
		name      string
		root      string
		recursive bool
		before    func(f tree)
		changes   []func(f tree) // each must be told
	}{
		{name: "written in place", before: func(f tree) { f.write("m/web.yaml", "1") }, changes: []func(tree){
			func(f tree) { f.write("m/web.yaml", "2") },
		}},
		{name: "made, moved and removed", before: func(f tree) { f.mkdir("m") }, changes: []func(tree){
			func(f tree) { f.write("m/web.yaml", "1") },
			func(f tree) { f.rename("m/web.yaml", "m/db.yaml") },
			func(f tree) { f.remove("m/db.yaml") },
		}},
		{name: "saved by rename, again and again", before: func(f tree) { f.write("m/web.yaml", "1") }, changes: []func(tree){
			func(f tree) { f.write("m/.web.yaml.swp", "2"); f.rename("m/.web.yaml.swp", "m/web.yaml") },
			func(f tree) { f.write("elsewhere", "3"); f.rename("elsewhere", "m/web.yaml") },
			func(f tree) { f.rename("m/web.yaml", "m/web.yaml~"); f.write("m/web.yaml", "4") },
		}},
		{name: "a single file, saved by rename", root: "m/web.yaml", before: func(f tree) { f.write("m/web.yaml", "1") }, changes: []func(tree){
			func(f tree) { f.write("m/new", "2"); f.rename("m/new", "m/web.yaml") },
			func(f tree) { f.remove("m/web.yaml") },
			func(f tree) { f.write("m/web.yaml", "3") },
		}},
		{name: "the ..data of a mounted volume", before: func(f tree) {
			f.write("m/..1/web.yaml", "1")
			f.link("..1", "m/..data")
			f.link("..data/web.yaml", "m/web.yaml")
		}, changes: []func(tree){
			func(f tree) {
				f.write("m/..2/web.yaml", "2")
				f.link("..2", "m/..data_tmp")
				f.rename("m/..data_tmp", "m/..data")
				f.remove("m/..1")
			},
			func(f tree) {
				f.write("m/..3/web.yaml", "3")
				f.link("..3", "m/..data_tmp")
				f.rename("m/..data_tmp", "m/..data")
			},
		}},
		{name: "the root is a link that is swapped", before: func(f tree) {
			f.write("v1/web.yaml", "1")
			f.write("v2/web.yaml", "2")
			f.link("v1", "m")
		}, changes: []func(tree){
			func(f tree) { f.link("v2", "next"); f.rename("next", "m") },
			func(f tree) { f.write("v2/web.yaml", "3") },
		}},
		{name: "a link on the way is swapped", root: "current/m", before: func(f tree) {
			f.write("v1/m/web.yaml", "1")
			f.write("v2/m/web.yaml", "2")
			f.link("v1", "current")
		}, changes: []func(tree){
			func(f tree) { f.link(f.path("v2"), "next"); f.rename("next", "current") },
			func(f tree) { f.write("v2/m/web.yaml", "3") },
		}},
		{name: "a linked file changes where it really is", before: func(f tree) {
			f.write("repo/web.yaml", "1")
			f.mkdir("m")
			f.link("../repo/web.yaml", "m/web.yaml")
		}, changes: []func(tree){
			func(f tree) { f.write("repo/web.yaml", "2") },
			func(f tree) { f.write("repo/new", "3"); f.rename("repo/new", "repo/web.yaml") },
		}},
		{name: "folders made later", recursive: true, before: func(f tree) { f.mkdir("m") }, changes: []func(tree){
			func(f tree) { f.write("m/a/b/c/web.yaml", "1") },
			func(f tree) { f.write("m/a/b/c/web.yaml", "2") },
			func(f tree) { f.rename("m/a", "m/z") },
			func(f tree) { f.write("m/z/b/c/web.yaml", "3") },
			func(f tree) { f.remove("m/z") },
		}},
		{name: "the root comes only later", root: "x/y/m", before: func(tree) {}, changes: []func(tree){
			func(f tree) { f.mkdir("x") },
			func(f tree) { f.mkdir("x/y/m") },
			func(f tree) { f.write("x/y/m/web.yaml", "1") },
		}},
		{name: "the root goes and comes", before: func(f tree) { f.write("m/web.yaml", "1") }, changes: []func(tree){
			func(f tree) { f.remove("m") },
			func(f tree) { f.write("m/web.yaml", "2") },
			func(f tree) { f.write("m/web.yaml", "3") },
			func(f tree) { f.rename("m", "away") },
			func(f tree) { f.rename("away", "m") },
			func(f tree) { f.write("m/web.yaml", "4") },
			func(f tree) { f.remove("m"); f.mkdir("m") },
			func(f tree) { f.write("m/web.yaml", "5") },
		}},
		{name: "a link that dangles for a while", before: func(f tree) { f.link("v1", "m") }, changes: []func(tree){
			func(f tree) { f.write("v1/web.yaml", "1") },
			func(f tree) { f.write("v1/web.yaml", "2") },
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newTree(t)
			tt.before(f)
			root := tt.root
			if root == "" {
				root = "m"
			}
			told := running(t, New(Options{
				Roots: []string{f.path(root)}, Recursive: tt.recursive, Match: yamlOnly, Quiet: 20 * time.Millisecond,
				Report: func(err error) { t.Errorf("reported: %v", err) },
			}))
			for i, change := range tt.changes {
				t.Logf("change %d", i)
				change(f)
				told()
			}
		})
	}
}

func TestSetFiles(t *testing.T) {
	f := newTree(t)
	f.mkdir("m")
	f.write("etc/app.conf", "1")
	w := New(Options{Roots: []string{f.path("m")}, Quiet: 20 * time.Millisecond})
	told := running(t, w)
	w.SetFiles([]string{f.path("etc/app.conf"), f.path("etc/missing")})
	told() // they may have changed before they were watched
	f.write("etc/app.conf", "2")
	told()
	f.write("etc/new", "3")
	f.rename("etc/new", "etc/app.conf")
	told()
	f.write("etc/missing", "4")
	told()
}

func TestSetTrees(t *testing.T) {
	f := newTree(t)
	f.mkdir("m")
	f.write("src/main.go", "1")
	f.write("src/dist/worker", "1")
	f.write("elsewhere/shared.go", "1")
	f.link("../elsewhere/shared.go", "src/shared.go")
	f.link("src", "here")
	w := New(Options{Roots: []string{f.path("m")}, Quiet: 20 * time.Millisecond})
	told := running(t, w)
	w.SetTrees([]Tree{{Dir: f.path("here"), Patterns: []string{"**/*.go", "dist", "tools"}, But: "dist/worker"}})
	told() // they may have changed before they were watched
	for _, change := range []func(){
		func() { f.write("src/main.go", "2") },
		func() { f.write("src/main.go~", "3"); f.rename("src/main.go~", "src/main.go") },
		func() { f.write("src/dist/map", "1") },
		func() { f.write("src/tools", "1") },
		func() { f.ok(os.Chmod(f.path("src/tools"), 0o755)) },
		func() { f.mkdir("src/a/b") },
		func() { f.write("src/a/b/c.go", "1") },
		func() { f.rename("src/a", "src/z") },
		func() { f.write("src/z/b/c.go", "2") },
		func() { f.remove("src/z") },
		func() { f.write("elsewhere/shared.go", "2") },
		func() { f.remove("here"); f.link("elsewhere", "here") },
		func() { f.write("elsewhere/new.go", "1") },
	} {
		change()
		told()
	}
}

func TestPoke(t *testing.T) {
	f := newTree(t)
	w := New(Options{Roots: []string{f.dir}})
	told := running(t, w)
	w.Poke()
	told()
}

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
func (k *fakeKernel) Errors() <-chan error          { return k.errs }
func (k *fakeKernel) Close() error                  { return nil }

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
			w.SetFiles([]string{f.path("etc/app.conf")})
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
			w.SetFiles([]string{f.path("m/app.conf")})
		}, []time.Duration{0, 0}},
		{"the same further files", func(_ *fakeKernel, w *Watcher) {
			w.SetFiles([]string{f.path("m/b"), f.path("m/a")})
			synctest.Wait()
			w.SetFiles([]string{f.path("m/a"), f.path("m/b"), f.path("m/a")})
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

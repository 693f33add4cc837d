package filewatch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
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

func (f tree) link(to, p string) { f.t.Helper(); f.ok(os.Symlink(to, f.path(p))) }

func (f tree) rename(from, p string) { f.t.Helper(); f.ok(os.Rename(f.path(from), f.path(p))) }

func (f tree) remove(p string) { f.t.Helper(); f.ok(os.RemoveAll(f.path(p))) }

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
	w.SetFiles([]string{f.path("etc/app.conf"), f.path("etc/missing")}, nil)
	told() // they may have changed before they were watched
	f.write("etc/app.conf", "2")
	told()
	f.write("etc/new", "3")
	f.rename("etc/new", "etc/app.conf")
	told()
	f.write("etc/missing", "4")
	told()
}

func TestPrograms(t *testing.T) {
	f := newTree(t)
	f.write("v1/worker", "1")
	f.write("v2/worker", "1")
	f.link("v1", "current")
	f.write("bin/worker", "1")
	w := New(Options{Quiet: 20 * time.Millisecond})
	told := running(t, w)
	w.SetFiles(nil, []string{f.path("bin/worker"), f.path("current/worker"), f.path("later/worker")})
	told() // they may have changed before they were watched
	for _, change := range []func(){
		func() { f.write("bin/new", "2"); f.rename("bin/new", "bin/worker") },
		func() { f.remove("bin/worker") },
		func() { f.write("bin/worker", "3") },
		func() { f.ok(os.Chmod(f.path("bin/worker"), 0o755)) },
		func() { f.link("v2", "next"); f.rename("next", "current") },
		func() { f.write("v2/new", "2"); f.rename("v2/new", "v2/worker") },
		func() { f.mkdir("later") },
		func() { f.write("later/worker", "1") },
	} {
		change()
		told()
	}
}

// TestProgramsAreNotRead where the kernel doesn't tell, as on network file systems: it is enough to know that another file stands there.
func TestProgramsAreNotRead(t *testing.T) {
	f := newTree(t)
	f.write("bin/worker", "one")
	info, err := os.Stat(f.path("bin/worker"))
	f.ok(err)
	print := func() any {
		p := points{}
		p.file(f.path("bin/worker"), false)
		return p.fingerprint(Options{})
	}
	first := print()
	f.write("bin/worker", "two")
	f.ok(os.Chtimes(f.path("bin/worker"), info.ModTime(), info.ModTime()))
	if print() != first {
		t.Error("it was read")
	}
	f.write("bin/worker", "three")
	second := print()
	f.remove("bin/worker")
	if second == first || print() == second {
		t.Error("another file, or none, isn't told from the one that was there")
	}
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

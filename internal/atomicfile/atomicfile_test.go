package atomicfile

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func entries(t *testing.T, dir string) []string {
	t.Helper()
	es, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range es {
		names = append(names, e.Name())
	}
	return names
}

func TestWriteReplacesContentAndMode(t *testing.T) {
	for _, d := range []Durability{Volatile, Durable} {
		dir := t.TempDir()
		path := filepath.Join(dir, "f")
		for i, want := range []string{"first", "second, longer", ""} {
			mode := []os.FileMode{0o600, 0o666, 0o755}[i]
			if err := Write(path, []byte(want), mode, d); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(path)
			if err != nil || string(got) != want {
				t.Errorf("content %q, %v; want %q", got, err, want)
			}
			if fi, _ := os.Stat(path); fi.Mode().Perm() != mode {
				t.Errorf("mode %v, want %v: the umask must not matter", fi.Mode().Perm(), mode)
			}
		}
		if got := entries(t, dir); len(got) != 1 {
			t.Errorf("directory holds %q, want f alone", got)
		}
	}
}

func TestWriteErrorsNameThePathAndLeaveNothing(t *testing.T) {
	dir := t.TempDir()
	occupied := filepath.Join(dir, "d")
	if err := os.MkdirAll(filepath.Join(occupied, "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{occupied, filepath.Join(dir, "missing", "f")} {
		if err := Write(path, []byte("x"), 0o600, Volatile); err == nil || !strings.Contains(err.Error(), "write "+path) {
			t.Errorf("Write(%s) = %v, want an error that names it", path, err)
		}
	}
	if got := entries(t, dir); len(got) != 1 {
		t.Errorf("directory holds %q, want d alone", got)
	}
}

func TestWriteReplacesASymlinkInsteadOfFollowingIt(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	if err := os.WriteFile(target, []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	if err := Write(link, []byte("ours"), 0o600, Volatile); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(target); string(got) != "theirs" {
		t.Errorf("the link's target holds %q", got)
	}
}

func TestConcurrentWritersNeverMix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			data := bytes.Repeat([]byte{byte('a' + i)}, 10_000)
			for range 20 {
				if err := Write(path, data, 0o600, Volatile); err != nil {
					t.Error(err)
				}
				got, err := os.ReadFile(path)
				if err != nil || len(got) != len(data) || bytes.Count(got, got[:1]) != len(got) {
					t.Errorf("read %d bytes of mixed content, %v", len(got), err)
				}
			}
		})
	}
	wg.Wait()
}

func TestRemoveIsIdempotent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := Write(path, nil, 0o600, Volatile); err != nil {
		t.Fatal(err)
	}
	for _, d := range []Durability{Durable, Durable, Volatile} {
		if err := Remove(path, d); err != nil {
			t.Error(err)
		}
	}
}

func TestSweepTakesOldTempsOnly(t *testing.T) {
	dir := t.TempDir()
	old := time.Now().Add(-2 * time.Hour)
	for name, at := range map[string]time.Time{".f.tmp-1": old, ".f.tmp-2": time.Now(), "f": old, ".hidden": old} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := Sweep(dir, time.Hour); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(entries(t, dir), " "); got != ".f.tmp-2 .hidden f" {
		t.Errorf("left are %s", got)
	}
	if err := Sweep(filepath.Join(dir, "missing"), time.Hour); err != nil {
		t.Error(err)
	}
}

func TestMkdirAllMakesParentsAndMindsNoneThatAreThere(t *testing.T) {
	for _, d := range []Durability{Volatile, Durable} {
		dir := filepath.Join(t.TempDir(), "a", "b")
		for range 2 {
			if err := MkdirAll(dir, 0o700, d); err != nil {
				t.Fatal(err)
			}
		}
		if fi, err := os.Stat(dir); err != nil || fi.Mode().Perm() != 0o700 {
			t.Errorf("made %v, %v", fi, err)
		}
		if err := Write(filepath.Join(dir, "file"), nil, 0o600, d); err != nil {
			t.Error(err)
		}
		if err := MkdirAll(filepath.Join(dir, "file", "c"), 0o700, d); err == nil {
			t.Error("a directory was made below a file")
		}
	}
}

func TestWriteOwnedKeepsTheModeAsked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := WriteOwned(path, nil, 0o755|os.ModeSetuid, Owner{UID: os.Getuid(), GID: os.Getgid()}, Volatile); err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode() != 0o755|os.ModeSetuid {
		t.Errorf("mode %v, %v: a change of owner must not take the set-user-ID bit", fi.Mode(), err)
	}
}

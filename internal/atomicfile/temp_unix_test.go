//go:build !windows

package atomicfile

import (
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// TestWhatAKilledWriterLeftGoes finds the file of a writer that died, which no lock protects any more.
func TestWhatAKilledWriterLeftGoes(t *testing.T) {
	for what, next := range map[string]func(path string) error{
		"the next write":   func(path string) error { return Write(path, []byte("new"), 0o600, Volatile) },
		"the next removal": func(path string) error { return Remove(path, Volatile) },
	} {
		dir := t.TempDir()
		for n := range 2 {
			if err := os.WriteFile(tempName(dir, "f", n), []byte("half"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := next(filepath.Join(dir, "f")); err != nil {
			t.Fatal(err)
		}
		if got := entries(t, dir); slices.Contains(got, ".f.tmp-0") {
			t.Errorf("%s leaves %q", what, got)
		}
	}
}

func TestALivingWriterKeepsItsFile(t *testing.T) {
	dir := t.TempDir()
	f, release, err := createTemp(dir, "f")
	if err != nil {
		t.Fatal(err)
	}
	f.Close() // as it does before it renames
	path := filepath.Join(dir, "f")
	if err := Write(path, []byte("another's"), 0o600, Volatile); err != nil {
		t.Fatal(err)
	}
	if err := Remove(path, Volatile); err != nil {
		t.Fatal(err)
	}
	if got := entries(t, dir); !slices.Equal(got, []string{".f.tmp-0"}) {
		t.Errorf("left are %q, want the file of the writer that lives", got)
	}
	release()
	if err := Remove(path, Volatile); err != nil {
		t.Fatal(err)
	}
	if got := entries(t, dir); len(got) != 0 {
		t.Errorf("left are %q", got)
	}
}

// TestALinkInThePlaceOfATempFile is what somebody may set up in a directory that all may write to.
func TestALinkInThePlaceOfATempFile(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim")
	if err := os.WriteFile(victim, []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, tempName(dir, "f", 0)); err != nil {
		t.Fatal(err)
	}
	if err := Write(filepath.Join(dir, "f"), []byte("ours"), 0o600, Volatile); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(victim); string(got) != "theirs" {
		t.Errorf("the link's target holds %q", got)
	}
}

// TestMoreWritersThanNames has so many at once that some write under a random name; none loses its file to another.
func TestMoreWritersThanNames(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	var releases sync.Map
	for i := range mostTemps + 8 {
		wg.Go(func() {
			f, release, err := createTemp(dir, "f")
			if err != nil {
				t.Error(err)
				return
			}
			if !is(f, f.Name()) {
				t.Errorf("writer %d lost %s", i, f.Name())
			}
			f.Close()
			releases.Store(f.Name(), release)
		})
	}
	wg.Wait()
	n := 0
	releases.Range(func(_, release any) bool { release.(func())(); n++; return true })
	if n != mostTemps+8 {
		t.Errorf("%d writers have a file of their own, want %d", n, mostTemps+8)
	}
}

package atomicfile

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestAdoptMovesTheWholeFile(t *testing.T) {
	for _, d := range []Durability{Volatile, Durable} {
		dir := t.TempDir()
		temp, path := filepath.Join(dir, "temp"), filepath.Join(dir, "path")
		for _, text := range []string{"first", "second, in place of the first"} {
			if err := os.WriteFile(temp, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := Adopt(temp, path, 0o755, d); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != text {
				t.Errorf("content %q, %v; want %q", got, err, text)
			}
			if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o755 {
				t.Errorf("mode %v, %v", fi.Mode(), err)
			}
		}
		if got := entries(t, dir); !slices.Equal(got, []string{"path"}) {
			t.Errorf("directory holds %q", got)
		}
	}
}

func TestAdoptThatFailsLeavesBothAsTheyWere(t *testing.T) {
	dir := t.TempDir()
	temp, occupied := filepath.Join(dir, "temp"), filepath.Join(dir, "occupied")
	if err := os.MkdirAll(filepath.Join(occupied, "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Adopt(temp, occupied, 0o755, Durable); err == nil {
		t.Error("a file that isn't there was adopted")
	}
	if err := os.WriteFile(temp, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Adopt(temp, occupied, 0o755, Durable); err == nil {
		t.Error("a directory was replaced")
	}
	if got := entries(t, dir); !slices.Equal(got, []string{"occupied", "temp"}) {
		t.Errorf("directory holds %q", got)
	}
}

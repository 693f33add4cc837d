package selfcopy

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestKeep(t *testing.T) {
	path := filepath.Join(t.TempDir(), "below", "tool")
	same := func() bool {
		t.Helper()
		have, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		ours, err := os.ReadFile(self)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Equal(have, ours)
	}
	keep := func() os.FileInfo {
		t.Helper()
		if err := Keep(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		fi, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return fi
	}
	first := keep()
	if !same() || first.Mode() != 0o755 {
		t.Errorf("it isn't this program, or has mode %v", first.Mode())
	}
	if again := keep(); !os.SameFile(first, again) {
		t.Error("the right one was made again")
	}
	if err := os.Chtimes(path, time.Time{}, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if another := keep(); os.SameFile(first, another) || !same() {
		t.Error("one of another time was left, or changed in place")
	}
	if err := os.WriteFile(path, []byte("an older one"), 0o755); err != nil {
		t.Fatal(err)
	}
	if keep(); !same() {
		t.Error("another one was left")
	}
}

func TestWhereThereIsNoRoom(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Keep(t.Context(), filepath.Join(file, "tool")); err == nil {
		t.Error("no error")
	}
}

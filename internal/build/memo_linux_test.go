package build

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// settle waits until what was written to a file is old enough to be known by its time.
func settle(t *testing.T, path string) {
	t.Helper()
	for {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if id, ok := identityOf(info); !ok || time.Since(time.Unix(0, id.changed)) > ticks {
			return
		}
		<-time.After(10 * time.Millisecond)
	}
}

func TestAMemoIsNeverWrong(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	at := time.Now().Add(-time.Hour)
	var m memo
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil { // as programs do that restore a file with its time
			t.Fatal(err)
		}
	}
	for i, text := range []string{"one", "two", "2.0", "two"} {
		write(text)
		if i%2 == 0 {
			settle(t, path)
		}
		for range 2 {
			f, err := m.read(path)
			want, _, _ := readFile(path)
			if err != nil || f != want {
				t.Errorf("%s: %+v, %v; want %+v", text, f, err, want)
			}
		}
	}
	if len(m.known) != 1 {
		t.Errorf("it remembers %v", m.known)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if f, err := m.read(path); !os.IsNotExist(err) {
		t.Errorf("of a file that is gone: %+v, %v", f, err)
	}
}

package atomicfile

import (
	"os"
	"path/filepath"
	"testing"
)

func TestKeepWritesWhatIsNotThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b", "f")
	inode := func() os.FileInfo {
		t.Helper()
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	var before os.FileInfo
	for _, step := range []struct {
		text string
		same bool
	}{{"one", false}, {"one", true}, {"two", false}} {
		if err := Keep(path, []byte(step.text), Durable); err != nil {
			t.Fatal(err)
		}
		now := inode()
		if got, err := os.ReadFile(path); err != nil || string(got) != step.text {
			t.Errorf("it holds %q, %v, want %q", got, err, step.text)
		}
		if before != nil && os.SameFile(before, now) != step.same {
			t.Errorf("keeping %q wrote it anew or didn't, want it left alone: %v", step.text, step.same)
		}
		before = now
	}
	if err := Keep(filepath.Join(path, "below a file"), nil, Volatile); err == nil {
		t.Error("no error where there can be no directory")
	}
}

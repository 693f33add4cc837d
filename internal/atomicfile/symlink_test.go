//go:build unix

package atomicfile

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSymlink(t *testing.T) {
	for _, c := range []struct {
		name   string
		before func(path string) error
	}{
		{"where nothing is", func(string) error { return nil }},
		{"in place of another link", func(p string) error { return os.Symlink("/elsewhere", p) }},
		{"in place of a file", func(p string) error { return os.WriteFile(p, []byte("x"), 0o600) }},
		{"after one that was killed half-way", func(p string) error {
			if err := os.Symlink("/elsewhere", p); err != nil {
				return err
			}
			return os.Symlink("/half", filepath.Join(filepath.Dir(p), ".link"+tempMark+"link"))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "link")
			if err := c.before(path); err != nil {
				t.Fatal(err)
			}
			if err := Symlink("/target", path, Durable); err != nil {
				t.Fatal(err)
			}
			if to, err := os.Readlink(path); err != nil || to != "/target" {
				t.Errorf("it leads to %q (%v)", to, err)
			}
			if left, _ := os.ReadDir(dir); len(left) != 1 {
				t.Errorf("beside it is left %v", left)
			}
		})
	}
	if err := Symlink("/target", filepath.Join(t.TempDir(), "missing", "link"), Volatile); err == nil {
		t.Error("a link in no directory was made")
	}
}

package program_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/program"
	"reconciler.dev/reconciler/internal/spawn"
	"reconciler.dev/reconciler/test/labhost"
)

func TestMain(m *testing.M) {
	spawn.Main()
	labhost.Main(m)
}

func TestNoexec(t *testing.T) {
	labhost.Test(t, labhost.Bare, func(t *testing.T) {
		dir := t.TempDir()
		self, err := os.ReadFile("/proc/self/exe")
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "f")
		for _, c := range []struct {
			flags uintptr
			want  bool
		}{{0, false}, {unix.MS_NOEXEC, true}} {
			if err := unix.Mount("tmpfs", dir, "tmpfs", c.flags, ""); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, self, 0o755); err != nil {
				t.Fatal(err)
			}
			if got := program.Check(path, program.Options{}); strings.Contains(got, "mounted noexec") != c.want {
				t.Errorf("%q, want it said: %v", got, c.want)
			}
			if got := program.Check("/proc/self/exe", program.Options{As: filepath.Join(dir, "bin", "f")}); strings.Contains(got, "mounted noexec") != c.want {
				t.Errorf("what is yet to be put there: %q, want it said: %v", got, c.want)
			}
			if got := program.Check(path, program.Options{As: "/usr/bin/f"}); strings.Contains(got, "mounted noexec") {
				t.Errorf("what will be put elsewhere: %q", got)
			}
			if err := unix.Unmount(dir, 0); err != nil {
				t.Fatal(err)
			}
		}
	})
}

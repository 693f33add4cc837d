//go:build linux && failpoints

package logfile

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"reconciler.dev/reconciler/internal/failpoint"
)

// TestMain rotates the log that CRASH names and dies on the way, where it is asked to.
func TestMain(m *testing.M) {
	if path := os.Getenv("CRASH"); path != "" {
		Rotate(path, 5000, 3)
		os.Exit(3) // the failpoint was never passed
	}
	os.Exit(m.Run())
}

func TestARotationThatWasCutOffLosesAndRepeatsNothing(t *testing.T) {
	for where, dir := range places(t) {
		for _, p := range failpoint.Names() {
			for _, grown := range []int{0, 2000} {
				t.Run(where+" "+string(p), func(t *testing.T) {
					dir := filepath.Join(dir, t.Name())
					if err := os.MkdirAll(dir, 0o700); err != nil {
						t.Fatal(err)
					}
					path := filepath.Join(dir, "web.log")
					f := appendTo(t, path)
					write(t, f, numberedLines(0, 1000))
					rotate(t, path, 5000, 3)
					write(t, f, numberedLines(1000, 2000))
					crash(t, path, p)
					write(t, f, numberedLines(2000, 2000+grown))
					want := numberedLines(0, 2000+grown)
					if got := readAll(t, path); got != want {
						t.Errorf("after the crash the stream has %d bytes, want %d", len(got), len(want))
					}
					rotate(t, path, 1<<30, 3)
					if got := readAll(t, path); got != want {
						t.Errorf("after the repair the stream has %d bytes, want %d", len(got), len(want))
					}
					write(t, f, numberedLines(2000+grown, 3000+grown))
					rotate(t, path, 5000, 9)
					if got := readAll(t, path); got != numberedLines(0, 3000+grown) {
						t.Errorf("after the next rotation the stream has %d bytes", len(got))
					}
					if _, err := os.Lstat(pendingPath(path)); err == nil {
						t.Error("the pending file was left behind")
					}
				})
			}
		}
	}
}

// crash rotates in another process, which dies at p.
func crash(t *testing.T, path string, p failpoint.Point) {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0])
	c.Env = append(os.Environ(), "CRASH="+path, failpoint.Env+"="+string(p))
	if err := c.Run(); err == nil || c.ProcessState.ExitCode() == 3 && ours(p) {
		t.Fatalf("the rotation lived on: %v", err)
	}
}

// ours tells whether a rotation passes p; it writes its state file, too.
func ours(p failpoint.Point) bool {
	switch p {
	case failpoint.FileTemp, failpoint.FileRename, failpoint.FileRenamed, failpoint.LogCopied, failpoint.LogCut, failpoint.LogRenamed:
		return true
	}
	return false
}

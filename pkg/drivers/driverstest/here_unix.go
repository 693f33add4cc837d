//go:build unix

package driverstest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/freeport"
	"reconciler.dev/reconciler/internal/testprog"
	"reconciler.dev/reconciler/pkg/spec"
)

// here is the machine that the tests run on.
type here struct {
	program string
	broken  map[string]string
}

// builtEnv is where the test program is, where it has been built: on a test host there is no toolchain.
const builtEnv = "RECONCILER_TESTPROG"

// newHere builds the test program. It may be called while t's subtests run.
func newHere(t *testing.T) (Machine, error) {
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} { // daemons of other users run it
		if err := os.Chmod(d, 0o755); err != nil {
			return nil, err
		}
	}
	h := here{program: filepath.Join(dir, "prog"), broken: map[string]string{
		"missing": filepath.Join(dir, "missing"), "not executable": filepath.Join(dir, "plain"), "a directory": dir,
	}}
	if err := os.WriteFile(h.broken["not executable"], []byte("#!/bin/true\n"), 0o644); err != nil {
		return nil, err
	}
	if built := os.Getenv(builtEnv); built != "" {
		h.program = built
		return h, nil
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", h.program, testprog.Package)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the test program: %w\n%s", err, out)
	}
	return h, nil
}

func (h here) Program() string { return h.program }

func (h here) Broken() map[string]string { return h.broken }

func (here) Root() bool { return os.Getuid() == 0 }

func (here) Dir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for d, mode := range map[string]os.FileMode{dir: 0o777, filepath.Dir(dir): 0o755} {
		if err := os.Chmod(d, mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Alive asks /proc where there is one, because a zombie still takes signals.
func (here) Alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err == nil {
		_, state, _ := bytes.Cut(stat[bytes.LastIndexByte(stat, ')'):], []byte(" "))
		return len(state) > 0 && state[0] != 'Z' && state[0] != 'X'
	}
	if _, err := os.Stat("/proc/self/stat"); err == nil {
		return false
	}
	return !errors.Is(unix.Kill(pid, 0), unix.ESRCH)
}

func (here) Signal(pid int, s spec.Signal) error { return unix.Kill(pid, unix.SignalNum(string(s))) }

func (here) Read(path string) (File, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return File{}, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return File{}, err
	}
	return File{Content: content, Mode: spec.Mode(info.Mode().Perm())}, nil
}

func (here) Write(path string, f File) error {
	if err := os.WriteFile(path, f.Content, 0o600); err != nil {
		return err
	}
	return os.Chmod(path, fs.FileMode(f.Mode))
}

func (here) Remove(path string) error { return os.Remove(path) }

func (here) MakeDir(path string) error { return os.MkdirAll(path, 0o755) }

func (here) Port(t *testing.T) int { return freeport.Port(t) }

func (here) Dial(port int) (net.Conn, error) {
	return net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
}

func (h here) Name(path string) error { return os.Symlink(h.program, path) }

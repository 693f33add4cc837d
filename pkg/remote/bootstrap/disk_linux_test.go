package bootstrap_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"reconciler.dev/reconciler/pkg/remote/bootstrap"
)

// withDisk runs f where a file system of that size and those flags is mounted at dir for it alone, and for the shells that it starts.
func withDisk(t *testing.T, dir, size string, flags uintptr, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine, and the mount with it
		if err := syscall.Unshare(syscall.CLONE_NEWNS); err != nil {
			t.Errorf("make a mount namespace: %v", err)
			return
		}
		if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
			t.Errorf("make the mounts private: %v", err)
			return
		}
		if err := syscall.Mount("tmpfs", dir, "tmpfs", flags, "mode=700,size="+size); err != nil {
			t.Errorf("mount: %v", err)
			return
		}
		f()
	}()
	<-done
}

// elsewhere is a folder for agents that can be used.
func elsewhere(t *testing.T, opts bootstrap.Options) bootstrap.Options {
	opts.Path = filepath.Join(t.TempDir(), "agents")
	return opts
}

func TestHomeThatIsMountedNoexec(t *testing.T) {
	for _, shell := range []string{"bash", "tcsh", "fish"} {
		t.Run(shell, func(t *testing.T) {
			h := newShellHost(t, shell)
			withDisk(t, h.home, "64m", syscall.MS_NOEXEC, func() {
				h.asked()
				problem(t, h, optionsFor(t), bootstrap.NoExec, h.home+"/.cache/reconciler/agents/", "noexec", "agent.path")
				if got := strings.Join(h.asked(), " "); got != "agent probe" {
					t.Errorf("asked for %s: nothing is copied where nothing can be run", got)
				}
				if left := h.files(".cache"); len(left) != 0 {
					t.Errorf("left are %q", left)
				}
				opts := elsewhere(t, optionsFor(t))
				for range 2 {
					if _, err := h.start(opts); err != nil {
						t.Error(err)
					}
				}
				if got := strings.Join(h.asked(), " "); got != "agent probe copy agent agent" {
					t.Errorf("asked for %s", got)
				}
			})
		})
	}
}

func TestAgentPutByHandWhereNothingCanBeExecuted(t *testing.T) {
	for _, shell := range shells() {
		h := newShellHost(t, shell)
		withDisk(t, h.home, "64m", syscall.MS_NOEXEC, func() {
			text, err := os.ReadFile(programs(t).version("one"))
			if err != nil {
				t.Error(err)
				return
			}
			opts := optionsFor(t)
			opts.Install, opts.Path = bootstrap.Never, h.home+"/reconciler"
			if err := os.WriteFile(opts.Path, text, 0o755); err != nil {
				t.Error(err)
				return
			}
			problem(t, h, opts, bootstrap.NoExec, "root can't execute programs in")
		})
	}
}

func TestHomeThatIsReadOnly(t *testing.T) {
	h := newShellHost(t, "dash")
	withDisk(t, h.home, "64m", syscall.MS_RDONLY, func() {
		problem(t, h, optionsFor(t), bootstrap.ReadOnly, "mounted read-only", "agent.path")
		if _, err := h.start(elsewhere(t, optionsFor(t))); err != nil {
			t.Error(err)
		}
	})
}

func TestAgentInAHomeThatBecameReadOnly(t *testing.T) {
	h := newShellHost(t, "dash")
	withDisk(t, h.home, "64m", 0, func() {
		if _, err := h.start(optionsFor(t)); err != nil {
			t.Error(err)
		}
		if err := syscall.Mount("", h.home, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
			t.Error(err)
		}
		if _, err := h.start(optionsFor(t)); err != nil {
			t.Errorf("an agent that is there needs no disk to write to: %v", err)
		}
	})
}

func TestDiskThatIsFull(t *testing.T) {
	t.Run("seen before", func(t *testing.T) {
		h := newShellHost(t, "dash")
		withDisk(t, h.home, "1m", 0, func() {
			h.tool("id", "echo alice")
			h.asked()
			problem(t, h, optionsFor(t), bootstrap.DiskFull, "no room", "MB free", "MB needed", "make room")
			if got := strings.Join(h.asked(), " "); got != "agent probe" {
				t.Errorf("asked for %s: what has no room isn't sent", got)
			}
		})
	})
	t.Run("met on the way", func(t *testing.T) {
		for name, prepare := range map[string]func(*shellHost){"compressed": func(*shellHost) {}, "plain": withoutGzip} {
			h := newShellHost(t, "dash")
			withDisk(t, h.home, "1m", 0, func() {
				prepare(h) // as root, whose reserve df doesn't count
				p := problem(t, h, optionsFor(t), bootstrap.DiskFull, "No space left on device")
				if left := h.files(".cache"); p != nil && len(left) != 0 {
					t.Errorf("%s: left are %q, on a disk that is full", name, left)
				}
			})
		}
	})
	t.Run("to the last byte", func(t *testing.T) {
		h := newShellHost(t, "dash")
		withDisk(t, h.home, "64k", 0, func() {
			if err := os.WriteFile(filepath.Join(h.home, "big"), make([]byte, 1<<20), 0o600); err == nil {
				t.Error("the disk isn't full")
			}
			problem(t, h, optionsFor(t), bootstrap.DiskFull, "no room")
		})
	})
}

func TestFolderThatIsntTheAccounts(t *testing.T) {
	h := newShellHost(t, "dash")
	h.write(".cache", "a file where a folder is to be", 0o600)
	problem(t, h, optionsFor(t), bootstrap.Denied, "may not make files in", "mkdir: ")
}

// problem is for where a test must not end at once.
func problem(t *testing.T, h *shellHost, opts bootstrap.Options, kind bootstrap.Kind, words ...string) *bootstrap.Problem {
	t.Helper()
	_, err := h.start(opts)
	p := (*bootstrap.Problem)(nil)
	if !errors.As(err, &p) {
		t.Errorf("got %v, want a problem", err)
		return nil
	}
	t.Log(err)
	if p.Kind != kind {
		t.Errorf("kind %s, want %s: %v", p.Kind, kind, err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q is not in: %v", w, err)
		}
	}
	return p
}

//go:build unix

package bootstrap_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/pkg/drivers"
)

// shells are the login shells that accounts have.
func shells() []string { return []string{"dash", "bash", "zsh", "ksh", "csh", "tcsh", "fish"} }

func TestEveryShellCopiesTheAgentOnceAndThenNeedsOneCommand(t *testing.T) {
	for _, shell := range shells() {
		t.Run(shell, func(t *testing.T) {
			h := newShellHost(t, shell)
			for i, want := range [][]string{{"agent", "probe", "copy", "agent"}, {"agent"}} {
				g, err := h.start(optionsFor(t))
				if err != nil {
					t.Fatal(err)
				}
				if got := h.asked(); g.version != "one" || !slices.Equal(got, want) {
					t.Errorf("start %d: version %s by %q, want one by %q", i, g.version, got, want)
				}
			}
			if got := h.files(".cache"); len(got) != 1 {
				t.Errorf("left are %q", got)
			}
		})
	}
}

func TestLoginNoiseIsPassedOver(t *testing.T) {
	const noise = "echo Welcome to gpu-1; printf 'no end of line'; echo complaint >&2\n"
	files := map[string]string{"zsh": ".zshenv", "csh": ".cshrc", "tcsh": ".tcshrc", "fish": ".config/fish/config.fish", "bash": ".bashrc"}
	for shell, file := range files {
		t.Run(shell, func(t *testing.T) {
			h := newShellHost(t, shell)
			text := noise
			if shell == "csh" || shell == "tcsh" {
				text = "echo Welcome to gpu-1; printf 'no end of line'\n"
			}
			h.write(file, text, 0o600)
			h.set("BASH_ENV", h.home+"/.bashrc")
			g, err := h.start(optionsFor(t))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff([]string{"agent", "probe", "copy", "agent"}, h.asked()); d != "" || g.version != "one" {
				t.Errorf("version %s: %s", g.version, d)
			}
		})
	}
}

// TestEverySh: what hosts have for /bin/sh runs the scripts alike, also where all tools are those of busybox.
func TestEverySh(t *testing.T) {
	for name, sh := range map[string]string{"dash": "dash", "bash": "bash --posix", "ksh": "ksh", "zsh": "zsh --emulate sh", "busybox": "/bin/busybox sh"} {
		t.Run(name, func(t *testing.T) {
			h := newShellHost(t, "dash")
			h.sh = sh
			if name == "busybox" {
				if out, err := exec.Command("/bin/busybox", "--install", "-s", h.home).CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				if _, err := os.Lstat(filepath.Join(h.home, "cksum")); err != nil { // Debian's has none
					if err := os.Symlink("/usr/bin/cksum", filepath.Join(h.home, "cksum")); err != nil {
						t.Fatal(err)
					}
				}
				h.set("PATH", h.home)
			}
			whole := h.copyOnce(t)
			h.cut, h.cutIn = whole*3/4, "--install"
			if err := os.RemoveAll(filepath.Join(h.home, ".cache")); err != nil {
				t.Fatal(err)
			}
			if _, err := h.start(optionsFor(t)); !errors.Is(err, drivers.ErrUnreachable) {
				t.Fatalf("got %v, want that the link was lost", err)
			}
			h.cut, h.cutIn = 0, ""
			h.sent()
			if again := h.copyOnce(t); again > whole/2 {
				t.Errorf("%d bytes were sent for what lacked a quarter of %d", again, whole)
			}
		})
	}
}

// copyOnce copies the agent and returns how many bytes that took.
func (h *shellHost) copyOnce(t *testing.T) int64 {
	t.Helper()
	h.asked()
	for _, want := range [][]string{{"agent", "probe", "copy", "agent"}, {"agent"}} {
		g, err := h.start(optionsFor(t))
		if got := h.asked(); err != nil || g.version != "one" || !slices.Equal(got, want) {
			t.Fatalf("version %q by %q, %v", g.version, got, err)
		}
	}
	if got := h.files(".cache"); len(got) != 1 {
		t.Errorf("left are %q", got)
	}
	return h.sent()
}

//go:build unix

package bootstrap_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
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

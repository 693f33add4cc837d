//go:build unix

package bootstrap_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/remote/bootstrap"
)

// withoutGzip takes gzip away from a host.
func withoutGzip(h *shellHost) { h.without("gzip") }

// without leaves a host no tools but the most usual, and those of them without the ones named.
func (h *shellHost) without(missing ...string) {
	h.t.Helper()
	for _, tool := range []string{"uname", "id", "cksum", "od", "mkdir", "cat", "chmod", "rm", "mv", "wc", "df", "tail", "ls", "gzip"} {
		if slices.Contains(missing, tool) {
			continue
		}
		if err := os.MkdirAll(filepath.Join(h.home, "bin"), 0o700); err != nil {
			h.t.Fatal(err)
		}
		if err := os.Symlink("/usr/bin/"+tool, filepath.Join(h.home, "bin", tool)); err != nil {
			h.t.Fatal(err)
		}
	}
	h.set("PATH", filepath.Join(h.home, "bin"))
}

func TestCopyGoesOnWhereItWasCut(t *testing.T) {
	for name, prepare := range map[string]func(*shellHost){"compressed": func(*shellHost) {}, "plain": withoutGzip} {
		t.Run(name, func(t *testing.T) {
			whole := newShellHost(t, "dash")
			prepare(whole)
			if _, err := whole.start(optionsFor(t)); err != nil {
				t.Fatal(err)
			}
			all := whole.sent()

			h := newShellHost(t, "dash")
			prepare(h)
			h.cut, h.cutIn = all*3/4, "--install"
			if _, err := h.start(optionsFor(t)); !errors.Is(err, drivers.ErrUnreachable) || errors.Is(err, drivers.ErrPermanent) {
				t.Fatalf("got %v, want that the link was lost", err)
			}
			if left := h.files(".cache"); len(left) != 1 || !strings.Contains(left[0], "/part.") {
				t.Fatalf("left are %q, want a part", left)
			}
			h.cut, h.cutIn = 0, ""
			h.sent()
			if _, err := h.start(optionsFor(t)); err != nil {
				t.Fatal(err)
			}
			if again := h.sent(); again > all/2 {
				t.Errorf("%d bytes were sent for what lacked a quarter of %d", again, all)
			}
			if left := h.files(".cache"); len(left) != 1 {
				t.Errorf("left are %q, want the agent alone", left)
			}
		})
	}
}

func TestPartThatIsNoBeginningIsDoneAgain(t *testing.T) {
	h := newShellHost(t, "dash")
	h.cut, h.cutIn = 100_000, "--install"
	if _, err := h.start(optionsFor(t)); err == nil {
		t.Fatal("the link wasn't cut")
	}
	h.cut, h.cutIn = 0, ""
	left := h.files(".cache")
	part := filepath.Join(h.home, ".cache", left[0])
	text, err := os.ReadFile(part)
	if err != nil || len(text) == 0 {
		t.Fatalf("%d bytes, %v", len(text), err)
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(part, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := h.start(optionsFor(t)); err != nil {
		t.Fatal(err)
	}
	if left := h.files(".cache"); len(left) != 1 {
		t.Errorf("left are %q, want the agent alone", left)
	}
}

func TestCopiesAtOnceDontDisturbEachOther(t *testing.T) {
	first := newShellHost(t, "dash")
	opts := optionsFor(t)
	var wg sync.WaitGroup
	for range 4 {
		h := newShellHost(t, "dash")
		h.env = first.env
		wg.Go(func() {
			if g, err := h.start(opts); err != nil || g.version != "one" {
				t.Errorf("version %q, %v", g.version, err)
			}
		})
	}
	wg.Wait()
	if left := first.files(".cache"); len(left) != 1 {
		t.Errorf("left are %q, want the agent alone", left)
	}
}

func TestAgentThatALossOfPowerSpoiledIsCopiedAgain(t *testing.T) {
	h := newShellHost(t, "dash")
	if _, err := h.start(optionsFor(t)); err != nil {
		t.Fatal(err)
	}
	agent := filepath.Join(h.home, ".cache", h.files(".cache")[0])
	for name, spoil := range map[string]func() error{
		"empty":     func() error { return os.Truncate(agent, 0) },
		"cut off":   func() error { return os.Truncate(agent, 1000) },
		"no mode":   func() error { return os.Chmod(agent, 0o600) },
		"no header": func() error { return os.WriteFile(agent, []byte("exit 3"), 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			if err := spoil(); err != nil {
				t.Fatal(err)
			}
			h.asked()
			if _, err := h.start(optionsFor(t)); err != nil {
				t.Fatal(err)
			}
			if got := h.asked(); !slices.Equal(got, []string{"agent", "probe", "copy", "agent"}) {
				t.Errorf("asked for %q", got)
			}
		})
	}
}

func TestPlaceOfTheAgentThatIsTaken(t *testing.T) {
	h := newShellHost(t, "dash")
	if _, err := h.start(optionsFor(t)); err != nil {
		t.Fatal(err)
	}
	agent := filepath.Join(h.home, ".cache", h.files(".cache")[0])
	if err := errors.Join(os.Remove(agent), os.Mkdir(agent, 0o700)); err != nil {
		t.Fatal(err)
	}
	h.problem(optionsFor(t), bootstrap.Broken, "couldn't put itself into place", "rename ")
	if left := h.files(".cache"); len(left) != 0 {
		t.Errorf("left are %q", left)
	}
}

func TestHostsThatLackTools(t *testing.T) {
	for _, missing := range [][]string{{"cksum"}, {"cksum", "gzip"}, {"id", "od", "df", "ls", "tail"}} {
		h := newShellHost(t, "dash")
		h.without(missing...)
		h.copyOnce(t)
		if err := os.RemoveAll(filepath.Join(h.home, ".cache")); err != nil {
			t.Fatal(err)
		}
		h.cut, h.cutIn = 100_000, "--install"
		if _, err := h.start(optionsFor(t)); !errors.Is(err, drivers.ErrUnreachable) {
			t.Fatalf("got %v, want that the link was lost", err)
		}
		h.cut, h.cutIn = 0, ""
		h.copyOnce(t)
	}
}

func TestCopySaysSo(t *testing.T) {
	h := newShellHost(t, "dash")
	opts := optionsFor(t)
	var said []string
	opts.Say = func(line string) { said = append(said, line) }
	for range 2 {
		if _, err := h.start(opts); err != nil {
			t.Fatal(err)
		}
	}
	if len(said) != 1 || !strings.Contains(said[0], "copying the agent (linux/") || !strings.Contains(said[0], h.home+"/.cache/reconciler/agents/") || !strings.HasSuffix(said[0], " on gpu-1") {
		t.Errorf("said %q", said)
	}
}

//go:build unix

package bootstrap_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/remote/bootstrap"
	"reconciler.dev/reconciler/pkg/remote/link"
)

func TestAgentsThatAreNeverCopied(t *testing.T) {
	never := func(t *testing.T, h *shellHost, path string, dirs ...string) bootstrap.Options {
		opts := optionsFor(t, dirs...)
		opts.Install, opts.Path = bootstrap.Never, path
		h.set("PATH", h.home+"/bin:/usr/bin:/bin")
		return opts
	}
	put := func(t *testing.T, h *shellHost, version string, mode os.FileMode) string {
		t.Helper()
		text, err := os.ReadFile(programs(t).version(version))
		if err != nil {
			t.Fatal(err)
		}
		return h.write("bin/reconciler", string(text), mode)
	}
	own := bootstrap.Own().String()

	t.Run("there by its path", func(t *testing.T) {
		h := newShellHost(t, "fish")
		if g, err := h.start(never(t, h, put(t, h, "two", 0o755))); err != nil || g.version != "two" {
			t.Errorf("version %q, %v", g.version, err)
		}
	})
	t.Run("there in the PATH", func(t *testing.T) {
		h := newShellHost(t, "tcsh")
		put(t, h, "two", 0o755)
		if g, err := h.start(never(t, h, "")); err != nil || g.version != "two" {
			t.Errorf("version %q, %v", g.version, err)
		}
	})
	t.Run("missing at its path", func(t *testing.T) {
		h := newShellHost(t, "csh")
		h.problem(never(t, h, "/opt/reconciler/agent"), bootstrap.NoAgent,
			"there is no agent at /opt/reconciler/agent", "agent.install is never", "scp "+programs(t).version("one")+" gpu-1:/opt/reconciler/agent")
		if got := h.asked(); !slices.Equal(got, []string{"agent", "probe"}) {
			t.Errorf("asked for %q", got)
		}
	})
	t.Run("missing in the PATH", func(t *testing.T) {
		h := newShellHost(t, "zsh")
		h.problem(never(t, h, ""), bootstrap.NoAgent, "reconciler in the PATH of ", "gpu-1:/usr/local/bin/reconciler")
	})
	t.Run("missing there and here", func(t *testing.T) {
		h := newShellHost(t, "zsh")
		h.tool("uname", `[ "$1" = -m ] && echo riscv64 || echo Linux`)
		opts := optionsFor(t)
		opts.Install, opts.Path = bootstrap.Never, "~/reconciler"
		h.problem(opts, bootstrap.NoAgent, "hack/agents.sh linux/riscv64", "put reconciler-linux-riscv64 at ~/reconciler")
	})
	t.Run("for another platform", func(t *testing.T) {
		for _, shell := range shells() {
			h := newShellHost(t, shell)
			h.problem(never(t, h, put(t, h, "arm", 0o755)), bootstrap.WrongPlatform, "is a program for linux/arm64, and the host is "+own, "scp ")
		}
	})
	t.Run("not to be executed", func(t *testing.T) {
		for _, shell := range shells() {
			h := newShellHost(t, shell)
			h.problem(never(t, h, put(t, h, "two", 0o644)), bootstrap.NoExec, "chmod 755 "+h.home)
		}
	})
	t.Run("ends at once", func(t *testing.T) {
		h := newShellHost(t, "bash")
		path := h.write("agent", "#!/bin/sh\necho panic: no >&2; exit 7\n", 0o755)
		h.problem(never(t, h, path), bootstrap.Broken, "ended with status 7", "panic: no")
	})
	t.Run("floods", func(t *testing.T) {
		h := newShellHost(t, "bash")
		path := h.write("agent", "#!/bin/sh\nexec yes\n", 0o755)
		h.problem(never(t, h, path), bootstrap.Broken, "says other things than an agent does", "y y y")
	})
	t.Run("of another version", func(t *testing.T) {
		h := newShellHost(t, "dash")
		opts := never(t, h, put(t, h, "two", 0o755))
		skew := fmt.Errorf("greet the agent: it speaks protocol 2, and this reconciler protocol 1: %w", drivers.ErrUnsupported)
		err := bootstrap.Agent(t.Context(), h, opts, func(context.Context, link.Stream) error { return skew })
		p := (*bootstrap.Problem)(nil)
		if !errors.As(err, &p) || p.Kind != bootstrap.Skew || !errors.Is(err, drivers.ErrUnsupported) || !strings.Contains(p.Do, "scp "+programs(t).version("one")+" gpu-1:"+h.home) {
			t.Errorf("got %v", err)
		}
	})
}

func TestForcedCommandOfAnotherVersion(t *testing.T) {
	h := newShellHost(t, programs(t).version("two"), "agent")
	h.shell = []string{"/bin/sh", "-c", "exec " + programs(t).version("two") + " agent", "-"}
	opts := optionsFor(t)
	if g, err := h.start(opts); err != nil || g.version != "two" {
		t.Errorf("version %q, %v: a forced command that runs an agent is as good as the one asked for", g.version, err)
	}
	err := bootstrap.Agent(t.Context(), h, opts, func(context.Context, link.Stream) error {
		return fmt.Errorf("protocol 2: %w", drivers.ErrPermanent)
	})
	if p := (*bootstrap.Problem)(nil); !errors.As(err, &p) || p.Kind != bootstrap.Skew || !strings.Contains(p.Do, "command=") {
		t.Errorf("got %v", err)
	}
}

func TestAgentsOnWindows(t *testing.T) {
	h := newShellHost(t, "/bin/sh", "-c", "echo stand-in two of user 1 #")
	opts := optionsFor(t)
	opts.Path = `C:\reconciler\reconciler.exe`
	if _, err := h.start(opts); err == nil || !strings.Contains(err.Error(), "agent.install: never") || len(h.commands) > 0 {
		t.Errorf("got %v after %q", err, h.commands)
	}
	opts.Install = bootstrap.Never
	g := &standIn{}
	if err := bootstrap.Agent(t.Context(), h, opts, g.greet); err != nil || !slices.Equal(h.commands, []string{"C:/reconciler/reconciler.exe agent"}) {
		t.Errorf("got %v after %q", err, h.commands)
	}
}

func TestSkewOfAnAgentBehindAForcedCommand(t *testing.T) {
	h := newShellHost(t, "/bin/sh", "-c", "echo stand-in two of user 1", "-")
	opts := optionsFor(t)
	opts.Install, opts.Path = bootstrap.Never, "/opt/reconciler"
	err := bootstrap.Agent(t.Context(), h, opts, func(context.Context, link.Stream) error { return fmt.Errorf("protocol 2: %w", drivers.ErrPermanent) })
	p := (*bootstrap.Problem)(nil)
	if !errors.As(err, &p) || p.Kind != bootstrap.Skew || !strings.Contains(p.Do, "at /opt/reconciler there") || !strings.Contains(p.Do, programs(t).version("one")) {
		t.Errorf("got %v", err)
	}
}

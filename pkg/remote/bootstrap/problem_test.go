//go:build unix

package bootstrap_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/remote/bootstrap"
	"reconciler.dev/reconciler/pkg/remote/link"
)

func TestAccountsThatRunNoCommands(t *testing.T) {
	for name, c := range map[string]struct {
		shell []string
		kind  bootstrap.Kind
		words []string
	}{
		"nologin":           {[]string{"/usr/sbin/nologin"}, bootstrap.NoLogin, []string{"runs no commands", "This account is currently not available", "usermod --shell"}},
		"false":             {[]string{"/bin/false"}, bootstrap.NoLogin, []string{"exit status 1"}},
		"true":              {[]string{"/bin/true"}, bootstrap.NoLogin, []string{"exit status 0"}},
		"forced command":    {[]string{"/bin/sh", "-c", "echo backup of $(uname) only", "-"}, bootstrap.OtherCommand, []string{"backup of Linux only", "authorized_keys"}},
		"git-shell":         {[]string{"/bin/sh", "-c", "echo fatal: unrecognized command >&2; exit 128", "-"}, bootstrap.OtherCommand, []string{"fatal: unrecognized command"}},
		"restricted":        {[]string{"/bin/bash", "-rc"}, bootstrap.OtherCommand, []string{"restricted"}},
		"cmd.exe":           {[]string{"/bin/sh", "-c", "echo \"'exec' is not recognized as an internal or external command\" >&2; exit 1", "-"}, bootstrap.OtherCommand, []string{"reconciler-windows-amd64.exe"}},
		"terminal escapes":  {[]string{"/bin/sh", "-c", `printf '\033]0;owned\007\033[2J'`, "-"}, bootstrap.OtherCommand, []string{`\x1b]0;owned`}},
		"an endless answer": {[]string{"/bin/sh", "-c", "exec yes '# # # #'", "-"}, bootstrap.OtherCommand, []string{"# # # #"}},
		"an endless line":   {[]string{"/bin/sh", "-c", "exec cat /dev/zero", "-"}, bootstrap.OtherCommand, []string{`\x00`}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newShellHost(t, c.shell...)
			p := h.problem(optionsFor(t), c.kind, c.words...)
			if !errors.Is(p, drivers.ErrPermanent) {
				t.Error("it is called something that goes away by itself")
			}
			if strings.ContainsAny(p.Error(), "\x1b\x07\n") {
				t.Errorf("a terminal would obey %q", p.Error())
			}
			if got := h.asked(); !slices.Equal(got, []string{"agent", "probe"}) {
				t.Errorf("asked for %q", got)
			}
		})
	}
}

func TestLoginFilesThatHang(t *testing.T) {
	for shell, file := range map[string]string{"zsh": ".zshenv", "tcsh": ".tcshrc", "fish": ".config/fish/config.fish"} {
		t.Run(shell, func(t *testing.T) {
			h := newShellHost(t, shell)
			h.write(file, "echo Checking the weather\nsleep 1000\n", 0o600)
			opts := optionsFor(t)
			opts.Patience = 300 * time.Millisecond
			p := h.problem(opts, bootstrap.Hanging, "within 300ms", "Checking the weather", "ssh gpu-1 true")
			if errors.Is(p, drivers.ErrPermanent) {
				t.Error("it is called permanent: the host may only be slow")
			}
			if got := h.asked(); !slices.Equal(got, []string{"agent"}) {
				t.Errorf("asked for %q: a host that hangs is asked once", got)
			}
		})
	}
}

// TestLoginFileThatEndsTheShell: it looks like a shell that runs nothing, and the account has a good one.
func TestLoginFileThatEndsTheShell(t *testing.T) {
	h := newShellHost(t, "zsh")
	h.write(".zshenv", "exit 3\n", 0o600)
	h.problem(optionsFor(t), bootstrap.NoLogin, "exit status 3", "an exit in .bashrc", "ssh gpu-1 true must succeed")
}

// TestCommandsForAPerson: where ssh doesn't know the host by that name, they say how it gets there.
func TestCommandsForAPerson(t *testing.T) {
	for _, c := range []struct {
		way      link.Target
		ssh, scp string // as they go on; FILE stands for the program
	}{
		{link.Target{Address: "10.0.0.5"}, "10.0.0.5 ", "FILE 10.0.0.5:"},
		{link.Target{Address: "10.0.0.5", Port: 22, User: "ops"}, "ops@10.0.0.5 ", "FILE ops@10.0.0.5:"},
		{link.Target{Address: "fd00::5", Port: 2222, User: "ops"}, "-p 2222 ops@fd00::5 ", "-P 2222 FILE ops@[fd00::5]:"},
		{link.Target{Address: "10.0.0.5", IdentityFiles: []string{"/keys/my ops's"}}, `-i '/keys/my ops'\''s' 10.0.0.5 `, `-i '/keys/my ops'\''s' FILE 10.0.0.5:`},
		{link.Target{Address: "10.0.0.5", Jumps: []link.Target{{Address: "gate", User: "bob", Port: 2200}, {Address: "fd00::1"}}},
			"-J bob@gate:2200,[fd00::1]:22 10.0.0.5 ", "-J bob@gate:2200,[fd00::1]:22 FILE 10.0.0.5:"},
	} {
		h := newShellHost(t, "zsh")
		opts := optionsFor(t)
		opts.Install, opts.Path, opts.Way = bootstrap.Never, "/opt/reconciler", &c.way
		h.problem(opts, bootstrap.NoAgent, "mode 755: scp "+strings.Replace(c.scp, "FILE", programs(t).version("one"), 1)+"/opt/reconciler")
		opts.Path = filepath.Join(h.home, "other")
		h.write("other", "#!/bin/sh\n", 0o755)
		h.problem(opts, bootstrap.Broken, "ssh "+c.ssh+opts.Path+" version")
	}
}

func TestLoginFilesThatReadStdin(t *testing.T) {
	h := newShellHost(t, "zsh")
	h.write(".zshenv", "read -t 0.05 line\nread -t 0.05 line\n", 0o600)
	if _, err := h.start(optionsFor(t)); err != nil {
		t.Fatal(err)
	}
}

func TestHostThatStopsAnswering(t *testing.T) {
	for tool, said := range map[string]string{"uname": "began to say what it is, and then said nothing more for 500ms", "wc": "stopped taking the copy of the agent for 500ms"} {
		t.Run(tool, func(t *testing.T) {
			h := newShellHost(t, "dash")
			h.tool(tool, "exec sleep 1000")
			opts := optionsFor(t)
			opts.Patience = 500 * time.Millisecond
			h.problem(opts, bootstrap.Hanging, said)
		})
	}
}

func TestCallerThatGivesUp(t *testing.T) {
	h := newShellHost(t, "dash")
	h.tool("uname", "exec sleep 1000")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 300*time.Millisecond, errors.New("ctrl-C"))
	defer cancel()
	err := bootstrap.Agent(ctx, h, optionsFor(t), (&standIn{}).greet)
	if err == nil || !strings.Contains(err.Error(), "start the agent on gpu-1: ctrl-C") || errors.As(err, new(*bootstrap.Problem)) {
		t.Errorf("got %v", err)
	}
}

// sessions is a host that has no session for the next few commands.
type sessions struct {
	link.Opener
	refuse int
}

func (s *sessions) Open(ctx context.Context, command string) (link.Stream, error) {
	if s.refuse--; s.refuse >= 0 {
		return nil, fmt.Errorf("open a session: %w", link.ErrNoSession)
	}
	return s.Opener.Open(ctx, command)
}

func TestHostWithoutSessions(t *testing.T) {
	h := newShellHost(t, "dash")
	g := &standIn{}
	err := bootstrap.Agent(t.Context(), &sessions{h, 99}, optionsFor(t), g.greet)
	if p := (*bootstrap.Problem)(nil); !errors.As(err, &p) || p.Kind != bootstrap.NoSession || !strings.Contains(err.Error(), "MaxSessions") {
		t.Errorf("got %v", err)
	}
}

func TestLinkThatIsLost(t *testing.T) {
	for _, where := range []string{"agent", "uname", "--install"} {
		h := newShellHost(t, "dash")
		h.cut, h.cutIn = 0, where
		if where == "agent" {
			h.set("PATH", "/nowhere")
		}
		err := bootstrap.Agent(t.Context(), h, optionsFor(t), func(_ context.Context, s link.Stream) error {
			if _, err := s.Write([]byte("hello\n")); err != nil {
				return err
			}
			_, err := bufio.NewReader(s).ReadString('\n')
			return err
		})
		if !errors.Is(err, errCut) || !errors.Is(err, drivers.ErrUnreachable) || errors.As(err, new(*bootstrap.Problem)) {
			t.Errorf("cut in %s: got %v", where, err)
		}
	}
}

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

func TestSudo(t *testing.T) {
	sudo := func(t *testing.T, h *shellHost) bootstrap.Options {
		opts := optionsFor(t)
		opts.Sudo = true
		h.tool("id", "echo alice")
		return opts
	}
	t.Run("runs the agent", func(t *testing.T) {
		for _, shell := range []string{"dash", "csh", "fish"} {
			h := newShellHost(t, shell)
			opts := sudo(t, h)
			h.tool("sudo", `[ "$1" = -n ] || exit 1; shift; exec "$@"`)
			for range 2 {
				if _, err := h.start(opts); err != nil {
					t.Fatal(err)
				}
			}
			if got := h.asked(); !slices.Equal(got, []string{"agent", "probe", "copy", "agent", "agent"}) {
				t.Errorf("asked for %q", got)
			}
		}
	})
	t.Run("refuses", func(t *testing.T) {
		h := newShellHost(t, "fish")
		opts := sudo(t, h)
		h.tool("sudo", "echo sudo: a password is required >&2; exit 1")
		line := "alice ALL=(root) NOPASSWD: " + h.home + "/.cache/reconciler/agents/*/reconciler agent"
		h.problem(opts, bootstrap.SudoRefused, "a password is required", "visudo -f", line)
		if got := h.asked(); !slices.Equal(got, []string{"agent", "probe", "copy", "agent"}) {
			t.Errorf("asked for %q", got)
		}
		opts.Install, opts.Path = bootstrap.Never, h.write("opt/reconciler", "#!/bin/sh\n", 0o755)
		h.problem(opts, bootstrap.SudoRefused, "alice ALL=(root) NOPASSWD: "+opts.Path+" agent")
	})
	t.Run("isn't there", func(t *testing.T) {
		h := newShellHost(t, "dash")
		opts := sudo(t, h)
		withoutGzip(h)
		if err := os.Remove(filepath.Join(h.home, "bin/id")); err != nil {
			t.Fatal(err)
		}
		h.set("PATH", h.home+"/bin:"+h.home+"/tools")
		h.problem(opts, bootstrap.SudoRefused, "there is no sudo on the host")
	})
	t.Run("isn't needed", func(t *testing.T) {
		h := newShellHost(t, "dash")
		opts := sudo(t, h)
		h.tool("id", "echo root")
		h.tool("sudo", "exit 1")
		h.problem(opts, bootstrap.SudoRefused, "leave sudo out")
	})
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

// refusing is a host that takes the connection and no command.
type refusing struct{ err error }

func (r refusing) Open(context.Context, string) (link.Stream, error) { return nil, r.err }

func TestHostsThatTakeNoCommand(t *testing.T) {
	for _, c := range []struct {
		err  error
		kind bootstrap.Kind
	}{{fmt.Errorf("it runs no commands: %w", drivers.ErrPermanent), bootstrap.NoLogin}, {fmt.Errorf("gone: %w", drivers.ErrUnreachable), ""}} {
		err := bootstrap.Agent(t.Context(), refusing{c.err}, optionsFor(t), (&standIn{}).greet)
		p := (*bootstrap.Problem)(nil)
		if !errors.Is(err, drivers.ErrUnreachable) || errors.As(err, &p) != (c.kind != "") || p != nil && p.Kind != c.kind {
			t.Errorf("got %v", err)
		}
	}
}

// TestDocsQuoteTheMessages: what docs/agents.md says that a message says, one says.
func TestDocsQuoteTheMessages(t *testing.T) {
	var source strings.Builder
	for _, pattern := range []string{"*.go", "../link/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasSuffix(file, "_test.go") {
				source.Write(text)
			}
		}
	}
	text, err := os.ReadFile("../../../docs/agents.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) != 4 || !strings.Contains(cells[1], "`") {
			continue
		}
		rows++
		for i, quoted := range strings.Split(cells[1], "`") {
			for part := range strings.SplitSeq(strings.ReplaceAll(quoted, "10s", "OS/ARCH"), "OS/ARCH") {
				if i%2 == 1 && !strings.Contains(source.String(), part) {
					t.Errorf("no message says %q", part)
				}
			}
		}
	}
	if rows < 8 {
		t.Errorf("there are %d rows: is the table gone?", rows)
	}
}

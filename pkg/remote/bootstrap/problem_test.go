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

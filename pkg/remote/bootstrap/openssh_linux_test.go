package bootstrap_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/remote/bootstrap"
)

// reach starts the agent over a connection and ends it.
func reach(t *testing.T, s *session, opts bootstrap.Options) (*standIn, error) {
	t.Helper()
	g := &standIn{}
	err := bootstrap.Agent(t.Context(), s, opts, g.greet)
	if err != nil {
		return g, err
	}
	if err := g.stream.CloseWrite(); err != nil {
		t.Error(err)
	}
	if err := g.stream.Wait(); err != nil {
		t.Error(err)
	}
	g.stream.Close()
	return g, nil
}

func mustReach(t *testing.T, s *session, opts bootstrap.Options, commands int) *standIn {
	t.Helper()
	s.commands = nil
	g, err := reach(t, s, opts)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.commands) != commands {
		t.Errorf("%d commands, want %d: %.60q", len(s.commands), commands, s.commands)
	}
	return g
}

func mustNotReach(t *testing.T, s *session, opts bootstrap.Options, kind bootstrap.Kind, words ...string) {
	t.Helper()
	_, err := reach(t, s, opts)
	p := (*bootstrap.Problem)(nil)
	if !errors.As(err, &p) {
		t.Fatalf("got %v, want a problem", err)
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
}

// TestOpenSSH is what this package promises, with OpenSSH's own server, which permits one session at a time on a connection.
func TestOpenSSH(t *testing.T) {
	h := newSSHHost(t, "MaxSessions 1")
	const noise = "echo Welcome to gpu-1; printf 'no end of line'\n"
	for shell, file := range map[string]string{
		"dash": ".profile", "bash": ".bashrc", "zsh": ".zshenv", "ksh": ".profile", "csh": ".cshrc", "tcsh": ".tcshrc", "fish": ".config/fish/config.fish",
	} {
		t.Run(shell, func(t *testing.T) {
			path, err := exec.LookPath(shell)
			if err != nil {
				t.Fatal(err)
			}
			h.account(shell, path, "", map[string]string{file: noise, ".ssh/rc": "echo and from sshd\n"})
			s := h.dial(t, shell)
			mustReach(t, s, optionsFor(t), 4)
			mustReach(t, s, optionsFor(t), 1)
			mustReach(t, h.dial(t, shell), optionsFor(t), 1)
		})
	}
	t.Run("no login", func(t *testing.T) {
		h.account("nologin", "/usr/sbin/nologin", "", nil)
		h.account("false", "/bin/false", "", nil)
		mustNotReach(t, h.dial(t, "nologin"), optionsFor(t), bootstrap.NoLogin, "This account is currently not available")
		mustNotReach(t, h.dial(t, "false"), optionsFor(t), bootstrap.NoLogin, "exit status 1")
	})
	t.Run("login files that hang", func(t *testing.T) {
		h.account("hanging", "/bin/bash", "", map[string]string{".bashrc": "echo Checking the weather\nsleep 1000\n"})
		h.account("waiting", "/bin/bash", "", map[string]string{".ssh/rc": "exec sleep 1000\n"})
		opts := optionsFor(t)
		opts.Patience = 500 * time.Millisecond
		mustNotReach(t, h.dial(t, "hanging"), opts, bootstrap.Hanging, "Checking the weather", ".bashrc")
		mustNotReach(t, h.dial(t, "waiting"), opts, bootstrap.Hanging, "~/.ssh/rc")
	})
	t.Run("forced commands", func(t *testing.T) {
		h.account("strict", "/bin/bash", `restrict,command="`+h.put(t, "/home/opt/reconciler", "two")+` agent" `, nil)
		h.account("backup", "/bin/bash", `restrict,command="echo backups only" `, nil)
		if g := mustReach(t, h.dial(t, "strict"), optionsFor(t), 1); g.version != "two" {
			t.Errorf("version %s, want that of the forced command", g.version)
		}
		mustNotReach(t, h.dial(t, "backup"), optionsFor(t), bootstrap.OtherCommand, "backups only", "authorized_keys")
	})
	t.Run("homes", func(t *testing.T) {
		for name, c := range map[string]struct {
			size  string
			flags uintptr
			kind  bootstrap.Kind
		}{"noexec": {"60m", syscall.MS_NOEXEC, bootstrap.NoExec}, "readonly": {"60m", syscall.MS_RDONLY, bootstrap.ReadOnly}, "full": {"1m", 0, bootstrap.DiskFull}} {
			home := h.account(name, "/bin/sh", "", nil)
			keys := h.read(home + "/.ssh/authorized_keys")
			h.do(func() error { return h.disk(home, c.size, 0) })
			h.write(home+"/.ssh/authorized_keys", keys, 0o644)
			h.write(home+"/.cache/reconciler/x", "", 0o644)
			h.do(func() error {
				if out, err := exec.Command("chown", "-R", name, home).CombinedOutput(); err != nil {
					return errors.New(string(out))
				}
				return remount(home, c.flags)
			})
			mustNotReach(t, h.dial(t, name), optionsFor(t), c.kind, home+"/.cache/reconciler/agents")
			opts := optionsFor(t)
			opts.Path = "/home/" + name + "-agents"
			h.do(func() error { return exec.Command("install", "-d", "-o", name, opts.Path).Run() })
			mustReach(t, h.dial(t, name), opts, 4)
			mustReach(t, h.dial(t, name), opts, 1)
		}
	})
	t.Run("never", func(t *testing.T) {
		h.account("never", "/usr/bin/fish", "", nil)
		opts := optionsFor(t)
		opts.Install, opts.Path = bootstrap.Never, "/home/opt/agent"
		mustNotReach(t, h.dial(t, "never"), opts, bootstrap.NoAgent, "gpu-1:/home/opt/agent")
		h.put(t, "/home/opt/agent", "arm")
		mustNotReach(t, h.dial(t, "never"), opts, bootstrap.WrongPlatform, "linux/arm64")
		h.put(t, "/home/opt/agent", "two")
		if g := mustReach(t, h.dial(t, "never"), opts, 1); g.version != "two" {
			t.Errorf("version %s", g.version)
		}
	})
	t.Run("sudo", func(t *testing.T) {
		h.sudo(t)
	})
}

// TestStrictSites: the lines in docs/agents.md do what it says, and nothing else is possible by them.
func TestStrictSites(t *testing.T) {
	text, err := os.ReadFile("../../../docs/agents.md")
	if err != nil {
		t.Fatal(err)
	}
	forced, sudoers := "", bootstrap.SudoersLine("alice", "/usr/local/bin/reconciler")
	for line := range strings.Lines(string(text)) {
		if before, _, ok := strings.Cut(strings.TrimSpace(line), "ssh-ed25519 AAAA"); ok {
			forced = before
		}
	}
	for _, line := range []string{sudoers, bootstrap.SudoersLine("alice", "/home/alice/.cache/reconciler/agents/*/reconciler")} {
		if !strings.Contains(string(text), "\n    "+line+"\n") {
			t.Errorf("docs/agents.md doesn't have the line %s", line)
		}
	}
	h := newSSHHost(t)
	h.do(func() error { return h.disk("/usr/local/bin", "20m", 0) })
	h.put(t, "/usr/local/bin/reconciler", "two")
	h.replace("/etc/sudoers", sudoers+"\n")
	h.do(func() error { return exec.Command("chmod", "440", "/etc/sudoers").Run() })
	h.account("bob", "/usr/bin/fish", forced, nil)
	h.account("alice", "/usr/bin/tcsh", strings.Replace(forced, "/usr/local", "sudo -n /usr/local", 1), nil)
	if g := mustReach(t, h.dial(t, "bob"), optionsFor(t), 1); g.version != "two" || g.user == "0" {
		t.Errorf("version %s of user %s", g.version, g.user)
	}
	if g := mustReach(t, h.dial(t, "alice"), optionsFor(t), 1); g.version != "two" || g.user != "0" {
		t.Errorf("version %s of user %s", g.version, g.user)
	}
	s, err := h.dial(t, "bob").Open(t.Context(), "id")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if said, err := io.ReadAll(s); err != nil || !strings.HasPrefix(string(said), "stand-in two") || strings.Contains(string(said), "uid=") {
		t.Errorf("another command said %q, %v", said, err)
	}
}

// sudo is what Sudo promises: refused, the line that it asks for, and an agent of root's.
func (h *sshHost) sudo(t *testing.T) {
	home := h.account("alice", "/usr/bin/tcsh", "", nil)
	h.replace("/etc/sudoers", "# nobody may do anything\n")
	h.do(func() error { return exec.Command("chmod", "440", "/etc/sudoers").Run() })
	opts := optionsFor(t)
	opts.Sudo = true
	line := bootstrap.SudoersLine("alice", home+"/.cache/reconciler/agents/*/reconciler")
	mustNotReach(t, h.dial(t, "alice"), opts, bootstrap.SudoRefused, "visudo", line)
	h.append("/etc/sudoers", line+"\n")
	if g := mustReach(t, h.dial(t, "alice"), opts, 1); g.user != "0" {
		t.Errorf("the agent runs as user %s, want root", g.user)
	}
	opts.Sudo = false
	if g := mustReach(t, h.dial(t, "alice"), opts, 1); g.user == "0" {
		t.Error("the agent runs as root, and wasn't to")
	}
}

func TestOpenSSHLinkCutInACopy(t *testing.T) {
	h := newSSHHost(t)
	h.account("bob", "/bin/bash", "", nil)
	whole := h.dial(t, "bob")
	mustReach(t, whole, optionsFor(t), 4)
	program, err := os.Stat(programs(t).version("one"))
	if err != nil {
		t.Fatal(err)
	}
	home := h.account("alice", "/bin/bash", "", nil)
	s := h.dial(t, "alice")
	s.before = func(int) {
		if s.sent <= whole.sent*3/4 {
			return
		}
		for h.written(home) < program.Size()/2 && t.Context().Err() == nil { // until most of it isn't on its way any more
			time.Sleep(5 * time.Millisecond)
		}
		s.Close()
	}
	if _, err := reach(t, s, optionsFor(t)); !errors.Is(err, drivers.ErrUnreachable) || errors.Is(err, drivers.ErrPermanent) {
		t.Fatalf("got %v, want that the link was lost", err)
	}
	for h.runs("alice") && t.Context().Err() == nil { // until the host has seen it, too
		time.Sleep(5 * time.Millisecond)
	}
	again := h.dial(t, "alice")
	mustReach(t, again, optionsFor(t), 4)
	if again.sent > whole.sent*3/4 { // what was on its way is lost
		t.Errorf("%d bytes were sent after %d, of %d", again.sent, s.sent, whole.sent)
	}
	h.do(func() error {
		out, err := exec.Command("find", home+"/.cache", "-type", "f").CombinedOutput()
		if strings.Count(string(out), "\n") != 1 {
			t.Errorf("left are %s", out)
		}
		return err
	})
}

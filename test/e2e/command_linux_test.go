package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"reconciler.dev/reconciler/test/labhost"
)

// command is one run of the program under test.
type command struct {
	m              *machine
	args           []string
	cmd            *exec.Cmd
	stdout, stderr labhost.Output
	ended          chan struct{}
	took           time.Duration // once ended
}

func (c *command) String() string {
	how := "still runs"
	if c.hasEnded() {
		how = fmt.Sprintf("%v after %s", c.cmd.ProcessState, c.took.Round(time.Millisecond))
	}
	return fmt.Sprintf("$ reconciler %s   (process %d, %s)\n%s%s", strings.Join(c.args, " "), c.cmd.Process.Pid, how, c.stdout.String(), c.stderr.String())
}

// prepared is a command about to be started.
type prepared struct {
	*machine
	env   []string
	stdin string
	quiet bool // for the harness itself: not part of the transcript
}

func (m *machine) with(env ...string) prepared { return prepared{machine: m, env: env} }

// start starts the program under test and doesn't wait for it.
func (p prepared) start(args ...string) *command {
	p.t.Helper()
	c := &command{m: p.machine, args: args, ended: make(chan struct{})}
	c.cmd = p.mark.command(p.bin, p.withSet(args)...)
	c.cmd.Dir = p.dir
	c.cmd.Env = append(environment(), append([]string{"RECONCILER_STATE_DIR=" + p.root, "RECONCILER_DRIVERS=" + p.drivers}, p.env...)...)
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = strings.NewReader(p.stdin), &c.stdout, &c.stderr
	began := time.Now()
	if err := c.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	if !p.quiet {
		p.mu.Lock()
		p.transcript = append(p.transcript, c)
		p.mu.Unlock()
	}
	go func() {
		_ = c.cmd.Wait() // how it ended is in ProcessState
		c.took = time.Since(began)
		close(c.ended)
	}()
	return c
}

// environment is this process's without what would make the program under test behave in another way.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "RECONCILER_") || strings.HasPrefix(v, "SUDO_") || strings.HasPrefix(v, "NO_COLOR=")
	})
}

// run runs the program under test to its end.
func (p prepared) run(args ...string) *command {
	p.t.Helper()
	c := p.start(args...)
	c.wait()
	return c
}

// ok runs a command that has to succeed.
func (p prepared) ok(args ...string) *command {
	p.t.Helper()
	return p.exits(0, args...)
}

// exits runs a command that has to exit with code.
func (p prepared) exits(code int, args ...string) *command {
	p.t.Helper()
	c := p.run(args...)
	if got := c.code(); got != code {
		p.t.Fatalf("exit %d, want %d:\n%v", got, code, c)
	}
	return c
}

func (m *machine) start(args ...string) *command { m.t.Helper(); return m.with().start(args...) }

func (m *machine) run(args ...string) *command { m.t.Helper(); return m.with().run(args...) }

func (m *machine) background(args ...string) *command {
	m.t.Helper()
	return m.with().background(args...)
}

func (m *machine) ok(args ...string) *command { m.t.Helper(); return m.with().ok(args...) }

func (m *machine) exits(code int, args ...string) *command {
	m.t.Helper()
	return m.with().exits(code, args...)
}

// background starts a command that lives until the test ends it, or ends.
func (p prepared) background(args ...string) *command {
	p.t.Helper()
	c := p.start(args...)
	p.mu.Lock()
	p.ends = append(p.ends, c)
	p.mu.Unlock()
	return c
}

// keep starts a run in the background, and returns once it keeps its set.
func (m *machine) keep(args ...string) *command {
	m.t.Helper()
	c := m.background(append([]string{"run"}, args...)...)
	c.says("ends this and leaves the daemons running")
	return c
}

func (c *command) hasEnded() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// wait waits for the end.
func (c *command) wait() {
	c.m.t.Helper()
	select {
	case <-c.ended:
	case <-time.After(2 * patience):
		_ = c.cmd.Process.Signal(syscall.SIGQUIT) // shows where it hangs
		<-c.ended
		c.m.t.Fatalf("it didn't end within %s:\n%v", 2*patience, c)
	}
}

// code is the exit status, -1 where a signal ended it.
func (c *command) code() int { return c.cmd.ProcessState.ExitCode() }

// killed tells whether SIGKILL ended it.
func (c *command) killed() bool {
	s, ok := c.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && s.Signaled() && s.Signal() == syscall.SIGKILL
}

// kill ends it as a crash would.
func (c *command) kill() {
	_ = c.cmd.Process.Kill() // it may have ended
	<-c.ended
}

// interrupt ends it as ^C would, and waits.
func (c *command) interrupt() {
	c.m.t.Helper()
	if err := c.cmd.Process.Signal(os.Interrupt); err != nil {
		c.m.t.Fatal(err)
	}
	c.wait()
}

// says waits until the command has written text.
func (c *command) says(text string) {
	c.m.t.Helper()
	c.m.eventually(fmt.Sprintf("reconciler %s says %q", strings.Join(c.args, " "), text), func() bool {
		return strings.Contains(c.stdout.String()+c.stderr.String(), text) || c.hasEnded()
	})
	c.said(text)
}

// said checks that the command wrote text.
func (c *command) said(texts ...string) {
	c.m.t.Helper()
	for _, text := range texts {
		if !strings.Contains(c.stdout.String()+c.stderr.String(), text) {
			c.m.t.Errorf("it doesn't say %q:\n%v", text, c)
		}
	}
}

// printed checks all that the command wrote to stdout.
func (c *command) printed(want string) {
	c.m.t.Helper()
	if got := strings.TrimSpace(c.stdout.String()); got != want {
		c.m.t.Errorf("it printed %q, want %q:\n%v", got, want, c)
	}
}

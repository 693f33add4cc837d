package remote

import (
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long anything may take that takes an instant, or a few intervals of a link, on an idle machine.
const patience = time.Minute

// program is a run of the program under test.
type program struct {
	t     testing.TB
	args  []string
	cmd   *exec.Cmd
	out   output // all that it says
	data  output // what it writes to its stdout
	began time.Time
	ended chan struct{}
}

// output is what a program says, while it says it.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// start starts cmd, which is described by args, and returns at once. It doesn't outlive the test.
func start(t testing.TB, cmd *exec.Cmd, args []string) *program {
	t.Helper()
	p := &program{t: t, args: args, cmd: cmd, began: time.Now(), ended: make(chan struct{})}
	cmd.Stderr, cmd.Stdout = &p.out, io.MultiWriter(&p.out, &p.data)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = cmd.Wait() // how it ended is in ProcessState
	}()
	t.Cleanup(func() {
		if !p.hasEnded() {
			p.kill()
		}
		if t.Failed() {
			t.Log(p)
		}
	})
	return p
}

func (p *program) String() string {
	how := "still runs"
	if p.hasEnded() {
		how = p.cmd.ProcessState.String()
	}
	return fmt.Sprintf("%s $ reconciler %s   (%s)\n%s", p.began.Format("15:04:05.000"), strings.Join(p.args, " "), how, p.out.String())
}

// stdout is what it has written to its stdout.
func (p *program) stdout() string { return p.data.String() }

func (p *program) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// wait waits for its end and returns its exit status, which is -1 where a signal ended it.
func (p *program) wait() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(2 * patience):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT) // shows where it hangs
		<-p.ended
		p.t.Fatalf("it didn't end within %s:\n%v", 2*patience, p)
	}
	return p.cmd.ProcessState.ExitCode()
}

// kill ends it as a crash would.
func (p *program) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
}

// interrupt ends it as ^C would.
func (p *program) interrupt() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		p.t.Fatal(err)
	}
	p.wait()
}

// says waits until it has said a text, and returns what it has said after that.
func (p *program) says(text string) string {
	p.t.Helper()
	return p.saysAfter("", text)
}

// saysAfter waits until it has said a text after what it had said before, and returns what it has said after that.
func (p *program) saysAfter(before, text string) (rest string) {
	p.t.Helper()
	eventually(p.t, fmt.Sprintf("reconciler %s says %q", strings.Join(p.args, " "), text), func() bool {
		over := p.hasEnded()
		_, after, found := strings.Cut(p.out.String()[len(before):], text)
		if !found && over {
			p.t.Fatalf("it ended, and didn't say %q:\n%v", text, p)
		}
		rest = after
		return found
	})
	return rest
}

// said checks that it said these texts.
func (p *program) said(texts ...string) {
	p.t.Helper()
	for _, text := range texts {
		if !strings.Contains(p.out.String(), text) {
			p.t.Errorf("it doesn't say %q:\n%v", text, p)
		}
	}
}

// eventually waits until is holds.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for wait := 5 * time.Millisecond; !is(); wait = min(2*wait, 100*time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", patience, what)
		}
		time.Sleep(wait)
	}
}

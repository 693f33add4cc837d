//go:build unix

package bootstrap_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/remote/bootstrap"
	"reconciler.dev/reconciler/pkg/remote/link"
)

// shellHost is a host whose account's shell is one of this machine's, run as sshd(8) runs it. It permits one command at a time, as MaxSessions 1 does.
type shellHost struct {
	t     *testing.T
	home  string
	shell []string // the shell and what stands before the command
	env   []string
	// sh stands for /bin/sh on this host, where it isn't empty.
	sh string
	// cut ends a command's stdin and the link after so many bytes, in commands whose text contains cutIn.
	cut   int64
	cutIn string

	mu       sync.Mutex
	commands []string
	open     int
	written  int64 // to the stdin of all commands
}

func newShellHost(t *testing.T, shell ...string) *shellHost {
	t.Helper()
	if len(shell) == 1 {
		shell = append(shell, "-c")
	}
	home := t.TempDir()
	return &shellHost{t: t, home: home, shell: shell, env: []string{"HOME=" + home, "PATH=/usr/bin:/bin", "SHELL=" + shell[0], "USER=alice"}}
}

// write makes a file in the home directory.
func (h *shellHost) write(name, text string, mode os.FileMode) string {
	h.t.Helper()
	path := filepath.Join(h.home, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		h.t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		h.t.Fatal(err)
	}
	return path
}

// set sets a variable that the host's commands begin with.
func (h *shellHost) set(name, value string) { h.env = append(h.env, name+"="+value) }

// tool puts a program in front of the host's own of that name.
func (h *shellHost) tool(name, script string) {
	h.write("tools/"+name, "#!/bin/sh\n"+script+"\n", 0o755)
	h.set("PATH", filepath.Join(h.home, "tools")+":/usr/bin:/bin")
}

func (h *shellHost) Open(ctx context.Context, command string) (link.Stream, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.commands = append(h.commands, command)
	if h.open > 0 {
		h.t.Errorf("%q was started while another command ran", command)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if h.sh != "" {
		command = strings.Replace(command, "exec /bin/sh ", "exec "+h.sh+" ", 1)
	}
	cmd := exec.Command(h.shell[0], append(h.shell[1:len(h.shell):len(h.shell)], command)...)
	cmd.Env, cmd.Dir = h.env, h.home
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	s := &shellStream{host: h, cmd: cmd, ended: make(chan struct{}), left: -1}
	if h.cutIn != "" && strings.Contains(command, h.cutIn) {
		s.left = h.cut
	}
	cmd.Stderr = &s.stderr
	var err error
	if s.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout, s.out = w, out
	cmd.WaitDelay = time.Second
	err = cmd.Start()
	w.Close()
	if err != nil {
		return nil, err
	}
	h.open++
	go s.wait()
	return s, nil
}

// asked are the commands that were started since it was last called: agent, probe or copy.
func (h *shellHost) asked() (kinds []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.commands {
		switch {
		case strings.Contains(c, "--install"):
			kinds = append(kinds, "copy")
		case strings.Contains(c, "uname"):
			kinds = append(kinds, "probe")
		default:
			kinds = append(kinds, "agent")
		}
	}
	h.commands = nil
	return kinds
}

// sent are the bytes that were written to the host since it was last called.
func (h *shellHost) sent() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer func() { h.written = 0 }()
	return h.written
}

// files lists the files below a folder of the home directory.
func (h *shellHost) files(dir string) (names []string) {
	root := filepath.Join(h.home, dir)
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(root, path)
			names = append(names, rel)
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return names
}

type shellStream struct {
	host   *shellHost
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *os.File
	stderr bytes.Buffer
	ended  chan struct{}
	err    error
	mu     sync.Mutex
	left   int64 // of stdin until the link is cut; -1 for never
	lost   bool
}

func (s *shellStream) wait() {
	s.err = s.cmd.Wait()
	s.host.mu.Lock()
	s.host.open--
	s.host.mu.Unlock()
	close(s.ended)
}

var errCut = fmt.Errorf("the link was cut: %w", drivers.ErrUnreachable)

func (s *shellStream) isLost() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost
}

func (s *shellStream) Read(b []byte) (int, error) {
	if s.isLost() {
		return 0, errCut
	}
	n, err := s.out.Read(b)
	if errors.Is(err, os.ErrClosed) {
		err = io.EOF
	}
	return n, err
}

func (s *shellStream) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost {
		return 0, errCut
	}
	cut := s.left >= 0 && int64(len(b)) >= s.left
	if cut {
		b = b[:s.left]
	}
	n, err := s.in.Write(b)
	s.host.mu.Lock()
	s.host.written += int64(n)
	s.host.mu.Unlock()
	if s.left >= 0 {
		s.left -= int64(n)
	}
	if cut {
		s.lost = true
		s.in.Close()
		return n, errCut
	}
	return n, err
}

func (s *shellStream) CloseWrite() error { return s.in.Close() }

func (s *shellStream) Stderr() string {
	select {
	case <-s.ended:
		return s.stderr.String()
	default:
		return ""
	}
}

func (s *shellStream) Wait() error {
	<-s.ended
	if s.isLost() {
		return errCut
	}
	if exit := (*exec.ExitError)(nil); errors.As(s.err, &exit) {
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			return &link.ExitError{Status: -1, Signal: ws.Signal().String()}
		}
		return &link.ExitError{Status: exit.ExitCode()}
	}
	return nil
}

func (s *shellStream) Close() error {
	s.in.Close()
	s.out.Close()
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	return nil
}

// standIn is the greeting of the program in testdata/agent.
type standIn struct {
	version, user string
	stream        link.Stream
}

func (g *standIn) greet(_ context.Context, s link.Stream) error {
	in := bufio.NewReader(io.LimitReader(s, 1<<20))
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return fmt.Errorf("greet the agent: %w", err)
		}
		if _, said, ok := strings.Cut(line, "stand-in "); ok {
			g.version, g.user, _ = strings.Cut(strings.TrimSpace(said), " of user ")
			g.stream = s
			return nil
		}
	}
}

// agents are programs of testdata/agent, built once and named by their version: one and two for this platform, and arm for another. binaries has the first.
type agents struct {
	dir      string
	binaries *bootstrap.Binaries
}

func (a agents) version(name string) string { return filepath.Join(a.dir, name) }

// bin is where the stand-ins are, once a test asked for them; TestMain takes it away.
var bin string

var built = sync.OnceValues(func() (agents, error) {
	dir, err := os.MkdirTemp("", "bootstrap-agents-")
	if err != nil {
		return agents{}, err
	}
	bin = dir
	for _, b := range []struct{ name, arch string }{{"one", ""}, {"two", ""}, {"arm", "arm64"}} {
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -X main.version="+b.name, "-o", filepath.Join(dir, b.name), "./testdata/agent")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if b.arch != "" {
			cmd.Env = append(cmd.Env, "GOOS=linux", "GOARCH="+b.arch)
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			return agents{}, fmt.Errorf("build the stand-in %s: %w\n%s", b.name, err, out)
		}
	}
	return agents{dir: dir, binaries: bootstrap.NewBinaries(filepath.Join(dir, "one"), "")}, nil
})

func programs(t *testing.T) agents {
	t.Helper()
	a, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestMain(m *testing.M) {
	code := m.Run()
	if bin != "" {
		os.RemoveAll(bin)
	}
	os.Exit(code)
}

// optionsFor has the stand-in one to copy, and for other platforms those of dirs.
func optionsFor(t *testing.T, dirs ...string) bootstrap.Options {
	t.Helper()
	opts := bootstrap.Options{Host: "gpu-1", Patience: 10 * time.Second, Binaries: programs(t).binaries}
	if len(dirs) > 0 {
		opts.Binaries = bootstrap.NewBinaries(programs(t).version("one"), "", dirs...)
	}
	return opts
}

// start starts the agent of a host and ends it.
func (h *shellHost) start(opts bootstrap.Options) (*standIn, error) {
	h.t.Helper()
	g := &standIn{}
	err := bootstrap.Agent(h.t.Context(), h, opts, g.greet)
	if err == nil {
		if err := g.stream.CloseWrite(); err != nil {
			h.t.Error(err)
		}
		if err := g.stream.Wait(); err != nil {
			h.t.Error(err)
		}
		g.stream.Close()
	}
	return g, err
}

// problem starts the agent of a host that must not come to be.
func (h *shellHost) problem(opts bootstrap.Options, kind bootstrap.Kind, words ...string) *bootstrap.Problem {
	h.t.Helper()
	g, err := h.start(opts)
	p := (*bootstrap.Problem)(nil)
	if !errors.As(err, &p) {
		h.t.Fatalf("got %v (agent %+v), want a problem", err, g)
	}
	h.t.Log(err)
	if p.Kind != kind || !errors.Is(err, drivers.ErrUnreachable) {
		h.t.Errorf("kind %s, want %s; %v", p.Kind, kind, err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			h.t.Errorf("%q is not in: %v", w, err)
		}
	}
	return p
}

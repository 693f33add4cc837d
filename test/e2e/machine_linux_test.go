package e2e

import (
	crand "crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"reconciler.dev/reconciler/test/labhost"
)

// machine is what one test has for itself: a directory, and in it an instance of reconciler with all that it keeps.
type machine struct {
	t    testing.TB
	dir  string // manifests, configs and what witnesses testify
	root string // what reconciler keeps
	mark mark
	bin  string // the program under test
	// drivers are those that it may choose from.
	drivers string
	// set is the owner set, and suffix what all names end in, where the service manager isn't the test's own: see amongOthers.
	set, suffix string

	mu         sync.Mutex
	ends       []*command // what the end of the test has to end
	transcript []*command
}

// patience is how long anything may take that takes an instant on an idle machine.
const patience = 30 * time.Second

// newMachine returns a machine, and sees to it that at the end of the test nothing of it is left: every daemon is deleted, and what lives all the same is an
// error of the test, and is killed.
func newMachine(t testing.TB) *machine {
	t.Helper()
	dir, err := os.MkdirTemp(bin, "machine-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, dir: dir, root: filepath.Join(dir, "root"), mark: newMark(), bin: reconciler(t), drivers: "process"}
	t.Cleanup(m.end)
	return m
}

// amongOthers makes the daemons of the machine ones that stand beside those of other tests, in one service manager.
func (m *machine) amongOthers() {
	m.suffix = "-" + strings.ToLower(crand.Text()[:8])
	m.set = "set" + m.suffix
}

// withSet adds the owner set to a command that has one.
func (m *machine) withSet(args []string) []string {
	if m.set == "" || !slices.Contains([]string{"apply", "run", "diff", "plan"}, args[0]) {
		return args
	}
	return append([]string{args[0], "--set=" + m.set}, args[1:]...)
}

// end ends everything and checks that nothing is left.
func (m *machine) end() {
	m.mu.Lock()
	ends := slices.Clone(m.ends)
	m.mu.Unlock()
	for _, c := range ends {
		c.kill()
	}
	names := slices.DeleteFunc(strings.Fields(m.run("get", "-o", "name").stdout.String()), func(n string) bool { return !strings.HasSuffix(n, m.suffix) })
	if len(names) > 0 {
		m.ok(append([]string{"delete", "--now", "--force"}, names...)...)
	}
	for _, p := range m.mark.alive(m.t) {
		m.t.Errorf("left alive after everything was deleted: %v", p)
		if err := m.mark.kill(p.pid); err != nil {
			m.t.Logf("kill it: %v", err)
		}
	}
	for _, left := range m.leftovers() {
		m.t.Errorf("left after everything was deleted: %s", left)
	}
	if found, _ := filepath.Glob(filepath.Join(m.dir, "*.duplicates")); found != nil {
		for _, path := range found {
			m.t.Errorf("more than one copy lived at once: %s: %s", filepath.Base(path), m.read(path))
		}
	}
	if m.t.Failed() {
		m.tell()
	}
	if err := os.RemoveAll(m.dir); err != nil {
		m.t.Error(err)
	}
}

// leftovers lists what may not be there once every daemon is deleted: what is kept of daemons till the reboot, and files on their way to be renamed. In the
// history such a file waits for the next revision of that number, as history does.
func (m *machine) leftovers() []string {
	var left []string
	err := filepath.WalkDir(m.dir, func(path string, d os.DirEntry, err error) error {
		rel, _ := filepath.Rel(m.dir, path)
		if err == nil && !d.IsDir() && (strings.Contains(rel, "run/daemons/") || strings.Contains(rel, "run/cgroup/") || strings.Contains(rel, "run/status/") || strings.Contains(rel, "state/paused") || strings.Contains(rel, ".tmp-") && !strings.Contains(rel, "state/history/")) {
			left = append(left, rel)
		}
		return err
	})
	if err != nil {
		m.t.Error(err)
	}
	if m.set != "" { // what others have in the same service manager is found here, too
		left = slices.DeleteFunc(left, func(path string) bool { return !strings.Contains(path, m.suffix) })
		units, _ := filepath.Glob("/*/systemd/system*/*" + m.suffix + "*")
		links, _ := filepath.Glob("/*/systemd/system*/*/*" + m.suffix + "*")
		left = append(append(left, units...), links...)
	}
	return left
}

// tell writes what was done on the machine and what came of it to the test's log.
func (m *machine) tell() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.transcript {
		m.t.Log(c)
	}
	logs, _ := filepath.Glob(filepath.Join(m.root, "log", "*.log"))
	for _, path := range logs {
		text := m.read(path)
		m.t.Logf("%s: %s", filepath.Base(path), text[max(0, len(text)-4096):])
	}
}

// path is the path of a file of the machine.
func (m *machine) path(name string) string { return filepath.Join(m.dir, name) }

// write replaces a file of the machine as an editor does: by a new one that is renamed. It returns the file's path.
func (m *machine) write(name, text string) string {
	m.t.Helper()
	path := m.path(name)
	if err := errors.Join(
		os.MkdirAll(filepath.Dir(path), 0o755),
		os.WriteFile(path+".new~", []byte(text), 0o644),
		os.Rename(path+".new~", path)); err != nil {
		m.t.Fatal(err)
	}
	return path
}

// remove removes a file of the machine.
func (m *machine) remove(name string) {
	m.t.Helper()
	if err := os.Remove(m.path(name)); err != nil {
		m.t.Fatal(err)
	}
}

// read returns the content of a file, empty where there is none.
func (m *machine) read(path string) string {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		m.t.Error(err)
	}
	return string(text)
}

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
func (m *machine) run(args ...string) *command   { m.t.Helper(); return m.with().run(args...) }
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

// eventually waits until is holds.
func (m *machine) eventually(what string, is func() bool) {
	m.t.Helper()
	m.settles(func() string {
		if is() {
			return ""
		}
		return what
	})
}

// settles waits until wrong has nothing to say.
func (m *machine) settles(wrong func() string) {
	m.t.Helper()
	deadline := time.Now().Add(patience)
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		what := wrong()
		switch {
		case what == "":
			return
		case time.Now().After(deadline):
			m.t.Fatalf("not within %s: %s", patience, what)
		}
		time.Sleep(wait)
	}
}

// state is what get says of a daemon.
type state struct {
	Metadata struct{ Name string }
	Spec     struct{ Args []string }
	Status   struct {
		Phase      string
		Driver     string
		PID        int
		Restarts   int
		Generation int64
		Digest     string
		Set        string
		Holder     string
		Paused     *struct{ By string }
		LastExit   *struct {
			Code           *int
			Signal, Reason string
		}
		Conditions []struct{ Type, Status, Reason, Message string }
	}
}

// is returns the status of a condition.
func (s state) is(condition string) string {
	for _, c := range s.Status.Conditions {
		if c.Type == condition {
			return c.Status
		}
	}
	return ""
}

// message returns the message of a condition.
func (s state) message(condition string) string {
	for _, c := range s.Status.Conditions {
		if c.Type == condition {
			return c.Message
		}
	}
	return ""
}

// all returns what get says of the daemons of the machine.
func (m *machine) all() []state {
	m.t.Helper()
	var list struct{ Items []state }
	c := prepared{machine: m, quiet: true}.ok("get", "-o", "json")
	if err := json.Unmarshal([]byte(c.stdout.String()), &list); err != nil {
		m.t.Fatalf("get -o json: %v:\n%v", err, c)
	}
	return list.Items
}

// get returns what get says of a daemon; its phase is Absent where there is none.
func (m *machine) get(name string) state {
	m.t.Helper()
	for _, s := range m.all() {
		if s.Metadata.Name == name {
			return s
		}
	}
	var s state
	s.Status.Phase = "Absent"
	return s
}

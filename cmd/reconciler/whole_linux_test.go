package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/internal/spawn"
)

// beCommand makes this test program the command itself, so that whole processes are tested: signals, exit codes, locks that die with them.
const beCommand = "RECONCILER_TEST_BE_COMMAND"

func TestMain(m *testing.M) {
	spawn.Main()
	if os.Getenv(beCommand) != "" {
		main()
	}
	os.Exit(m.Run())
}

// machine is a state directory on this machine, with real daemons.
type machine struct {
	t   *testing.T
	dir string
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{t, t.TempDir()}
	m.write("sleeper.yaml", `
apiVersion: reconciler.dev/v1
kind: DaemonSpec
metadata: {name: sleeper}
spec: {binary: sleep, args: ["86400"], stop: {gracePeriod: 2s}}
`)
	t.Cleanup(func() {
		if code, out := m.run("delete", "sleeper", "--force", "--now", "--ignore-not-found"); code != 0 {
			t.Errorf("clean up: exit %d: %s", code, out)
		}
	})
	return m
}

func (m *machine) write(name, text string) {
	m.t.Helper()
	if err := os.WriteFile(filepath.Join(m.dir, name), []byte(text), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

// command is the whole command, to be started.
func (m *machine) command(args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Dir = m.dir
	cmd.Env = append(os.Environ(), beCommand+"=1", "RECONCILER_STATE_DIR="+filepath.Join(m.dir, "state"), "RECONCILER_DRIVERS=process",
		"GORACE=atexit_sleep_ms=0") // the race detector else sleeps a second at every exit
	return cmd
}

// run runs the command to its end and returns its exit code, and stdout and stderr together.
func (m *machine) run(args ...string) (code int, output string) {
	m.t.Helper()
	out, err := m.command(args...).CombinedOutput()
	var e *exec.ExitError
	if err != nil && !errors.As(err, &e) {
		m.t.Fatal(err)
	}
	if e != nil {
		return e.ExitCode(), string(out)
	}
	return 0, string(out)
}

func (m *machine) must(args ...string) string {
	m.t.Helper()
	code, out := m.run(args...)
	if code != 0 {
		m.t.Fatalf("reconciler %s: exit %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// pid is the main process of sleeper, as -o json tells it.
func (m *machine) pid() int {
	m.t.Helper()
	var l list[object]
	if err := json.Unmarshal([]byte(m.must("get", "sleeper", "-o", "json")), &l); err != nil {
		m.t.Fatal(err)
	}
	if len(l.Items) != 1 || l.Items[0].Status.PID == 0 {
		m.t.Fatalf("sleeper has no pid: %+v", l.Items)
	}
	return l.Items[0].Status.PID
}

// alive is false for a zombie too: who reaps orphans on this machine is not what is tested.
func alive(pid int) bool {
	st, err := procfs.ReadStat(pid)
	return err == nil && !st.Dead()
}

// TestWholeCommand takes a real daemon from apply to delete.
func TestWholeCommand(t *testing.T) {
	m := newMachine(t)
	if out := m.must("apply", "-f", "sleeper.yaml", "--wait"); !strings.HasPrefix(out, "daemon/sleeper created\n") {
		t.Errorf("apply says %q", out)
	}
	first := m.pid()
	if out := m.must("apply", "-f", "sleeper.yaml"); out != "daemon/sleeper unchanged\n" {
		t.Errorf("a second apply says %q", out)
	}
	if again := m.pid(); again != first || !alive(first) {
		t.Errorf("a second apply replaced process %d by %d", first, again)
	}
	m.must("stop", "sleeper")
	if alive(first) {
		t.Errorf("process %d is alive after stop", first)
	}
	m.must("start", "sleeper")
	second := m.pid()
	m.must("restart", "daemon/sleeper")
	if third := m.pid(); third == second || alive(second) {
		t.Errorf("restart left process %d", second)
	}
	last := m.pid()
	if out := m.must("delete", "-f", "sleeper.yaml"); out != "daemon/sleeper deleted\n" {
		t.Errorf("delete says %q", out)
	}
	if alive(last) {
		t.Errorf("process %d is alive after delete", last)
	}
	if code, out := m.run("get", "sleeper"); code != exitError || !strings.Contains(out, "not found") {
		t.Errorf("get of what was deleted: exit %d, %s", code, out)
	}
}

// TestLookingLeavesNoTrace looks at a machine where nothing was ever applied, and applies where nothing can be kept.
func TestLookingLeavesNoTrace(t *testing.T) {
	m := newMachine(t)
	for _, args := range [][]string{{"get"}, {"diff", "-f", "sleeper.yaml"}, {"apply", "-f", "sleeper.yaml", "--dry-run=server"}, {"events"}, {"plan", "-f", "sleeper.yaml"}} {
		if code, out := m.run(args...); code > exitError {
			t.Errorf("%v: exit %d, %s", args, code, out)
		}
	}
	if _, err := os.Stat(filepath.Join(m.dir, "state")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("looking made a state directory: %v", err)
	}
	code, out := m.run("apply", "-f", "sleeper.yaml", "--state-dir=/proc/state") // where nobody can make a directory
	if code != exitError || !strings.Contains(out, "give --state-dir") {
		t.Errorf("a state directory that can't be one: exit %d, %s", code, out)
	}
}

// TestWholeRun heals what is killed, leaves daemons alone at ^C, and adopts them when it comes back.
func TestWholeRun(t *testing.T) {
	m := newMachine(t)
	stop := m.keep()
	first := waitFor(t, func() int { return m.pidOr0() })
	if code, out := m.run("apply", "-f", "sleeper.yaml"); code != exitConflict || !strings.Contains(out, "run -f .") {
		t.Errorf("apply to what a run keeps: exit %d, %s", code, out)
	}
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	second := waitFor(t, func() int {
		if p := m.pidOr0(); p != first {
			return p
		}
		return 0
	})
	if out := stop(); !strings.Contains(out, "Ended. 1 daemon of set default left running") {
		t.Errorf("the end of the run says:\n%s", out)
	}
	if !alive(second) {
		t.Fatal("the daemon didn't outlive the run")
	}
	stop = m.keep()
	if code, out := m.run("wait", "sleeper", "--for=condition=Ready", "--timeout=20s"); code != 0 {
		t.Errorf("wait: exit %d, %s", code, out)
	}
	stop()
	if p := m.pid(); p != second {
		t.Errorf("the second run replaced process %d by %d", second, p)
	}
}

// keep starts a run and returns what ends it with ^C and gives its output.
func (m *machine) keep() (stop func() string) {
	m.t.Helper()
	var out bytes.Buffer
	cmd := m.command("run", "-f", ".")
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	var ended bool
	stop = func() string {
		if ended {
			return out.String()
		}
		ended = true
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			m.t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			m.t.Errorf("run: %v\n%s", err, out.String())
		}
		return out.String()
	}
	m.t.Cleanup(func() { stop() })
	return stop
}

// pidOr0 is pid, and 0 while there is none.
func (m *machine) pidOr0() int {
	m.t.Helper()
	code, out := m.run("get", "sleeper", "-o", "json")
	var l list[object]
	if code != 0 || json.Unmarshal([]byte(out), &l) != nil || len(l.Items) != 1 {
		return 0
	}
	return l.Items[0].Status.PID
}

func waitFor(t *testing.T, get func() int) int {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if v := get(); v != 0 {
			return v
		}
	}
	t.Fatal("it doesn't come up")
	return 0
}

// TestSquatter: a daemon isn't well because somebody else answers on its port, and the message says who does.
func TestSquatter(t *testing.T) {
	m := newMachine(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	m.write("sleeper.yaml", fmt.Sprintf(`
apiVersion: reconciler.dev/v1
kind: DaemonSpec
metadata: {name: sleeper}
spec: {binary: sleep, args: ["86400"], stop: {gracePeriod: 2s}, health: {tcp: %q}}
`, l.Addr()))
	code, out := m.run("apply", "-f", "sleeper.yaml", "--wait", "--timeout", "5s")
	if want := fmt.Sprintf("(pid %d), which isn't this daemon", os.Getpid()); code == 0 || !strings.Contains(out, want) {
		t.Errorf("apply: exit %d, %s, want %q", code, out, want)
	}
}

package main

import (
	"bytes"
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
	"reconciler.dev/reconciler/pkg/remote"
	"reconciler.dev/reconciler/pkg/spec"
)

// wires are the stdin and stdout of an agent's process, as the controller has them.
type wires struct {
	stdin  io.WriteCloser
	stdout io.ReadCloser
	gone   chan struct{} // closed when the controller knows that the link is lost
	once   sync.Once
}

// Read says nothing of a broken stdout: a controller that is stuck doesn't notice.
func (w *wires) Read(p []byte) (int, error) {
	n, err := w.stdout.Read(p)
	if err != nil {
		<-w.gone
	}
	return n, err
}

func (w *wires) Write(p []byte) (int, error) { return w.stdin.Write(p) }

func (w *wires) Close() error {
	w.once.Do(func() { close(w.gone) })
	return w.stdin.Close()
}

// TestAgentFinishesItsStep takes the controller away from a whole agent, in each way that there is, while that waits for a daemon that won't end. The step is finished, the
// agent exits, by itself and not by a signal, and what else it started lives on.
func TestAgentFinishesItsStep(t *testing.T) {
	for name, strike := range map[string]func(t *testing.T, agent *os.Process, w *wires){
		"the controller is killed": func(t *testing.T, _ *os.Process, w *wires) {
			w.stdout.Close()
			w.stdin.Close()
		},
		"its stdout breaks, and it has more to say": func(t *testing.T, _ *os.Process, w *wires) { w.stdout.Close() },
		"its stdin ends": func(t *testing.T, _ *os.Process, w *wires) { w.stdin.Close() },
		"systemd ends its session": func(t *testing.T, agent *os.Process, _ *wires) {
			for _, s := range []os.Signal{syscall.SIGTERM, syscall.SIGHUP} {
				if err := agent.Signal(s); err != nil {
					t.Error(err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			newMachine(t).agentFinishes(strike)
		})
	}
}

func (m *machine) agentFinishes(strike func(*testing.T, *os.Process, *wires)) {
	t, asked := m.t, filepath.Join(m.dir, "asked")
	m.write("deaf.yaml", `
apiVersion: reconciler.dev/v1
kind: DaemonSpec
metadata: {name: deaf}
spec: {binary: sh, args: ["-c", "trap 'echo > `+asked+`' TERM; echo up; while :; do sleep 0.1; done"], stop: {gracePeriod: 1s}}
`)
	t.Cleanup(func() { m.must("delete", "deaf", "--force", "--now", "--ignore-not-found") })
	m.must("apply", "-f", ".", "--wait")
	sleeper := m.pid()
	for _, out := m.run("logs", "deaf"); out != "up\n"; _, out = m.run("logs", "deaf") { // else it isn't deaf yet
	}

	cmd := m.command("agent")
	var said bytes.Buffer
	cmd.Stderr = &said
	host := m.connect(cmd)
	d, err := host.Driver(spec.DriverProcess)
	if err != nil {
		t.Fatal(err)
	}
	seen, err := d.Observe(t.Context(), "deaf")
	if err != nil || len(seen) != 1 {
		t.Fatal(seen, err)
	}
	stopped := make(chan error, 1)
	go func() {
		stopped <- d.Apply(t.Context(), spec.Step{Verb: spec.VerbStop, Name: "deaf", Instance: seen[0].Instance.ID, Driver: spec.DriverProcess, Stop: seen[0].Stamp.Spec.Stop})
	}()
	waitFor(t, func() int {
		if _, err := os.Stat(asked); err != nil {
			return 0
		}
		return 1
	})
	strike(t, cmd.Process, host.wires)
	if err := cmd.Wait(); !cmd.ProcessState.Exited() || cmd.ProcessState.ExitCode() > exitError {
		t.Errorf("the agent ended with %v: %s", err, &said)
	}
	_ = host.Close() // the link is lost
	<-stopped
	if alive(seen[0].Instance.PID) {
		t.Error("the step wasn't finished")
	}
	if !alive(sleeper) || m.pid() != sleeper {
		t.Error("another daemon didn't outlive the agent")
	}
	m.must("apply", "-f", ".", "--wait")
}

// wired is a host behind the process of an agent.
type wired struct {
	drivers.Host
	wires *wires
}

// connect starts an agent and connects to it.
func (m *machine) connect(agent *exec.Cmd) wired {
	m.t.Helper()
	stdin, err := agent.StdinPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	stdout, err := agent.StdoutPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := agent.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = agent.Process.Kill() }) // it has ended
	w := &wires{stdin: stdin, stdout: stdout, gone: make(chan struct{})}
	host, err := remote.Connect(m.t.Context(), w, remote.ConnectOptions{Name: "far", Ping: 200 * time.Millisecond})
	if err != nil {
		m.t.Fatal(err)
	}
	return wired{host, w}
}

// An agent's errors have the name by which the controller knows its machine, and not its own.
func TestAgentCallsItsMachineAsTheControllerDoes(t *testing.T) {
	m := newMachine(t)
	host := m.connect(m.command("agent"))
	defer host.Close()
	if err := host.Logs(t.Context(), "none", io.Discard, drivers.LogOptions{}); err == nil || !strings.Contains(err.Error(), "none on far: ") {
		t.Errorf("it says %v", err)
	}
}

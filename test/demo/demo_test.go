//go:build linux

// Package demo runs what `make demo` runs, so that the first thing a newcomer sees keeps working, and proves that it leaves nothing behind.
package demo

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestDemo(t *testing.T) {
	d := start(t)
	said, code := d.end(t)
	if code != 0 {
		t.Fatalf("exit %d:\n%s", code, said)
	}
	for _, part := range []string{
		"daemon/hello created", "daemon/world created", // apply
		"daemon/hello unchanged",                       // apply again
		"hello.json].digest: reload, manifest changed", // diff
		"spec.args[1]: restart, manifest changed",
		"greeting=\"Good morning\"", // logs: the daemon reread it
		"$ kill -9 ",                // the end of it
		"hello was process ",        // and healed
		"daemon/world deleted",      // away with it
	} {
		if !strings.Contains(said, part) {
			t.Errorf("it doesn't say %q:\n%s", part, said)
		}
	}
}

func TestInterruptedDemoTakesAwayWhatItMade(t *testing.T) {
	for name, at := range map[string]string{
		"right after apply": "Apply again",
		"while run runs":    "$ kill -9",
	} {
		t.Run(name, func(t *testing.T) {
			d := start(t)
			d.await(t, at)
			if err := d.cmd.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			if said, code := d.end(t); code != 130 {
				t.Errorf("exit %d:\n%s", code, said)
			}
		})
	}
}

func TestDemoNeedsItsBinaries(t *testing.T) {
	out, err := exec.Command("../../hack/demo.sh", t.TempDir()).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "run make demo") {
		t.Errorf("%v: %s", err, out)
	}
}

// run is a demo under way, with its temporary folder in dir.
type run struct {
	cmd  *exec.Cmd
	dir  string
	out  *bufio.Reader
	said bytes.Buffer
}

func start(t *testing.T) *run {
	t.Helper()
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin+"/", "./cmd/reconciler", "./examples/hello")
	build.Dir = "../.."
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	d := &run{dir: t.TempDir()}
	words := []string{"../../hack/demo.sh", bin}
	if os.Getuid() == 0 { // on a loopback of its own its ports are free, whatever runs on this machine
		words = append([]string{"unshare", "--net", "sh", "-c", `ip link set lo up && exec "$@"`, "sh"}, words...)
	}
	d.cmd = exec.Command(words[0], words[1:]...)
	d.cmd.Env = append(os.Environ(), "TMPDIR="+d.dir)
	pipe, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	d.cmd.Stdout, d.cmd.Stderr = writer, writer
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	writer.Close()
	d.out = bufio.NewReader(pipe)
	stuck := time.AfterFunc(3*time.Minute, func() { d.cmd.Process.Signal(syscall.SIGTERM) })
	t.Cleanup(func() {
		stuck.Stop()
		pipe.Close()
		for pid := range d.running(t) { // of a demo that failed
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Error(err)
			}
		}
	})
	return d
}

// await reads on until a line has text.
func (d *run) await(t *testing.T, text string) {
	t.Helper()
	for {
		line, err := d.out.ReadString('\n')
		d.said.WriteString(line)
		if strings.Contains(line, text) {
			return
		}
		if err != nil {
			t.Fatalf("it ended before %q:\n%s", text, d.said.String())
		}
	}
}

// end waits for the end, and fails the test where something is left.
func (d *run) end(t *testing.T) (said string, code int) {
	t.Helper()
	if _, err := io.Copy(&d.said, d.out); err != nil { // ends once no process has the pipe any more
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := d.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	left, err := os.ReadDir(d.dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left in TMPDIR: %v, %v", left, err)
	}
	for pid, exe := range d.running(t) {
		t.Errorf("still running: process %d is %s", pid, exe)
	}
	return d.said.String(), d.cmd.ProcessState.ExitCode()
}

// running are the processes of programs that the demo made, by their numbers.
func (d *run) running(t *testing.T) map[int]string {
	t.Helper()
	procs, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	running := map[int]string{}
	for _, p := range procs {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(p)))
		if err != nil {
			t.Fatal(err)
		}
		if exe, err := os.Readlink(p); err == nil && strings.HasPrefix(exe, d.dir) {
			running[pid] = exe
		}
	}
	return running
}

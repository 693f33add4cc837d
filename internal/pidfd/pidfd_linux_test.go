package pidfd

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/procfs"
)

// start runs a shell command as a child and returns it with an FD. Nobody waits for it but the test.
func start(t testing.TB, script string) (int, FD) {
	t.Helper()
	p, err := os.StartProcess("/bin/sh", []string{"sh", "-c", script}, &os.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	fd, err := Open(p.Pid)
	if err != nil {
		t.Fatal(err)
	}
	p.Release()
	t.Cleanup(func() {
		fd.Signal(unix.SIGKILL)
		fd.Status(p.Pid, false)
		fd.Close()
	})
	return p.Pid, fd
}

// await waits until the process has ended, as the kernel has it.
func await(t testing.TB, fd FD) {
	t.Helper()
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if n, err := unix.Poll(p, 10_000); n != 1 || err != nil {
		t.Fatalf("the process doesn't end: %v", err)
	}
}

func TestStatusOfAChild(t *testing.T) {
	for script, want := range map[string]unix.WaitStatus{"exit 0": 0, "exit 7": 7 << 8, "kill -9 $$": 9, "ulimit -c 0; kill -11 $$": 11} {
		pid, fd := start(t, script)
		await(t, fd)
		for i, peek := range []bool{true, true, false} {
			if got, known := fd.Status(pid, peek); got != want || !known {
				t.Errorf("%q: look %d gives %#x, %v; want %#x", script, i, got, known, want)
			}
		}
		if _, err := procfs.ReadStat(pid); !errors.Is(err, ErrGone) {
			t.Errorf("%q: it wasn't reaped: %v", script, err)
		}
	}
}

// TestStatusOfAGrandchild ends a process whose parent is somebody else, who reaps it at once or never.
func TestStatusOfAGrandchild(t *testing.T) {
	for name, wait := range map[string]string{"reaped by its parent": "wait", "left as a zombie": "exec sleep 60"} {
		t.Run(name, func(t *testing.T) {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			cmd := exec.Command("/bin/sh", "-c", `sh -c 'read x; exit 7' <&3 & echo $!; `+wait)
			cmd.ExtraFiles = []*os.File{r}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { cmd.Process.Kill(); cmd.Wait() }()
			line := make([]byte, 32)
			n, _ := out.Read(line)
			pid, err := strconv.Atoi(strings.TrimSpace(string(line[:n])))
			if err != nil {
				t.Fatal(err)
			}
			fd, err := Open(pid)
			if err != nil {
				t.Fatal(err)
			}
			defer fd.Close()
			w.Close()
			await(t, fd)
			got, known := fd.Status(pid, false)
			if known && got != 7<<8 || !known && name == "left as a zombie" {
				t.Errorf("status %#x, %v; want 7", got, known)
			}
			if !known && kernelTellsExit(t) {
				t.Error("this kernel tells how a reaped process ended, and Status doesn't")
			}
		})
	}
}

// kernelTellsExit tells whether PIDFD_GET_INFO has the exit status: Linux 6.15.
func kernelTellsExit(t *testing.T) bool {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	major, rest, _ := strings.Cut(unix.ByteSliceToString(u.Release[:]), ".")
	minor, _, _ := strings.Cut(rest, ".")
	a, _ := strconv.Atoi(major)
	b, _ := strconv.Atoi(minor)
	return a > 6 || a == 6 && b >= 15
}

func TestGone(t *testing.T) {
	pid, fd := start(t, "exit 0")
	await(t, fd)
	fd.Status(pid, false)
	if err := fd.Signal(unix.SIGTERM); !errors.Is(err, ErrGone) {
		t.Errorf("Signal: %v, want ErrGone", err)
	}
	if _, err := Open(pid); !errors.Is(err, ErrGone) {
		t.Errorf("Open: %v, want ErrGone", err)
	}
	if ended, err := fd.Ended(); !ended || err != nil {
		t.Errorf("Ended: %v, %v", ended, err)
	}
	if _, live := start(t, "exec sleep 60"); true {
		if ended, err := live.Ended(); ended || err != nil {
			t.Errorf("a live one: Ended: %v, %v", ended, err)
		}
	}
}

func TestPollerTellsEachEndOnce(t *testing.T) {
	var p Poller
	const n = 50
	told := make(chan int, 2*n)
	fds := make([]FD, n)
	for i := range n {
		_, fds[i] = start(t, "exec sleep 60")
		if _, err := p.Add(fds[i], func() { told <- i }); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[int]bool{}
	for i := range n {
		fds[i].Signal(unix.SIGKILL)
		select {
		case got := <-told:
			if seen[got] {
				t.Errorf("%d was told twice", got)
			}
			seen[got] = true
		case <-time.After(10 * time.Second):
			t.Fatalf("%d of %d ends told", i, n)
		}
	}
	if p.epoll != nil {
		t.Error("nothing is waited for, and the poller isn't idle")
	}
}

func TestPollerCancel(t *testing.T) {
	var p Poller
	_, a := start(t, "exec sleep 60")
	_, b := start(t, "exec sleep 60")
	told := make(chan string, 2)
	cancel, err := p.Add(a, func() { told <- "a" })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Add(b, func() { told <- "b" }); err != nil {
		t.Fatal(err)
	}
	cancel()
	cancel()
	if _, err := p.Add(a, func() { told <- "a again" }); err != nil {
		t.Fatalf("after cancel it can be added again: %v", err)
	}
	cancel() // of the first wait: it must not end the second
	a.Signal(unix.SIGKILL)
	if got := <-told; got != "a again" {
		t.Errorf("told %q", got)
	}
	b.Signal(unix.SIGKILL)
	if got := <-told; got != "b" {
		t.Errorf("told %q", got)
	}
}

func TestPollerTakesNoThreadEach(t *testing.T) {
	var p Poller
	threads := func() int {
		es, err := os.ReadDir("/proc/self/task")
		if err != nil {
			t.Fatal(err)
		}
		return len(es)
	}
	goroutines, before := runtime.NumGoroutine(), threads()
	done := make(chan struct{}, 100)
	var fds []FD
	for range 100 {
		_, fd := start(t, "exec sleep 60")
		fds = append(fds, fd)
		if _, err := p.Add(fd, func() { done <- struct{}{} }); err != nil {
			t.Fatal(err)
		}
	}
	if g := runtime.NumGoroutine() - goroutines; g > 1 {
		t.Errorf("100 waits take %d goroutines", g)
	}
	if n := threads() - before; n > 10 {
		t.Errorf("100 waits take %d threads", n)
	}
	for _, fd := range fds {
		fd.Signal(unix.SIGKILL)
		<-done
	}
}

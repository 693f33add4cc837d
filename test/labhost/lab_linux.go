package labhost

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	labDir   = "/run/lab" // what the hosts write, in the lab's mount namespace
	gateway  = "10.77.0.1"
	maxHosts = 250
	// maxTests is how many tests run on hosts at the same time. More gain little: a host takes ten of the 128 inotify instances that root has by default, and
	// other packages' tests run, too.
	maxTests = 4
)

// Lab is where hosts run. Its methods may be called from any goroutine.
type Lab struct {
	pid    int
	life   io.Closer // closing it ends the lab
	ended  chan struct{}
	cgroup string

	tests chan struct{}      // one for each test that runs on a host
	mu    sync.Mutex         // also for what is built
	taken [maxHosts + 1]bool // numbers of hosts
}

// Open makes a lab. The program must have called Stage. It needs root, cgroup v2, and the commands ip and nsenter.
func Open(ctx context.Context) (*Lab, error) {
	if err := sweepCgroups(); err != nil {
		return nil, err
	}
	cgroup, err := newCgroup()
	if err != nil {
		return nil, err
	}
	l := &Lab{cgroup: cgroup, tests: make(chan struct{}, maxTests)}
	if err := l.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start the lab: %w", err), removeCgroup(cgroup))
	}
	return l, nil
}

func (l *Lab) start(ctx context.Context) error {
	home, err := makeCgroup(filepath.Join(l.cgroup, "lab"))
	if err != nil {
		return err
	}
	defer home.Close()
	cmd := self(stageLab)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID,
		Pdeathsig:   unix.SIGKILL,
		UseCgroupFD: true, CgroupFD: int(home.Fd()),
	}
	if l.life, err = cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if l.ended, err = startFromLastingThread(cmd); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { l.life.Close() })
	defer stop()
	if said, err := bufio.NewReader(out).ReadString('\n'); said != "ready\n" {
		l.life.Close()
		<-l.ended
		return fmt.Errorf("it said %q: %w", said, err)
	}
	l.pid = cmd.Process.Pid
	return nil
}

// startFromLastingThread starts cmd from a thread that lives as long as the process does: PR_SET_PDEATHSIG counts the death of the thread.
func startFromLastingThread(cmd *exec.Cmd) (ended chan struct{}, err error) {
	started := make(chan error)
	ended = make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer close(ended)
		err := cmd.Start()
		started <- err
		if err == nil {
			cmd.Wait() // it is only ever killed
		}
	}()
	return ended, <-started
}

// Close ends every host and the lab, and removes its cgroups.
func (l *Lab) Close() error {
	l.life.Close()
	<-l.ended
	return removeCgroup(l.cgroup)
}

// path is that of a file in the lab's mount namespace, as this process sees it.
func (l *Lab) path(name string) string {
	return filepath.Join("/proc", fmt.Sprint(l.pid), "root", name)
}

// namespace is the file of one of the lab's namespaces.
func (l *Lab) namespace(name string) string {
	return filepath.Join("/proc", fmt.Sprint(l.pid), "ns", name)
}

// take returns the number of a new host.
func (l *Lab) take() (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n := 1; n <= maxHosts; n++ {
		if !l.taken[n] {
			l.taken[n] = true
			return n, nil
		}
	}
	return 0, fmt.Errorf("start a host: %d run already", maxHosts)
}

// giveBack ends the use of a number.
func (l *Lab) giveBack(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taken[n] = false
}

// self is the command that runs this binary as a part of the lab.
func self(stage string, env ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = stageEnvironment(stage, env...)
	cmd.Stderr = os.Stderr
	return cmd
}

func stageEnvironment(stage string, env ...string) []string {
	return append(env, stageEnv+"="+stage, "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
}

// nsenter is the command that runs args in namespaces of a process; see nsenter(1) for their names.
func nsenter(ctx context.Context, pid int, namespaces []string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "nsenter", slices.Concat([]string{"--target", fmt.Sprint(pid)}, namespaces, []string{"--"}, args)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // it is two processes
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// beLab is process 1 of the lab.
func beLab() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make the lab's mounts private: %w", err)
	}
	if err := unix.Mount("labhost", "/run", "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount the lab's file system: %w", err)
	}
	if err := os.Mkdir(labDir, 0o755); err != nil {
		return err
	}
	if err := ip("link set lo up", "link add br0 address "+hardwareAddr(0)+" type bridge", "addr add "+gateway+"/24 dev br0", "link set br0 up"); err != nil {
		return err
	}
	go reap()
	fmt.Println("ready")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// ip runs commands of ip(8) in the calling thread's network namespace.
func ip(commands ...string) error { return batch("ip", commands...) }

// batch has a tool of iproute2 carry out commands, a line each, in the calling thread's network namespace.
func batch(tool string, commands ...string) error {
	cmd := exec.Command(tool, "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", tool, strings.Join(commands, "; "), err, out)
	}
	return nil
}

// reap waits for every child there is and will be, for a process 1 that starts none itself.
func reap() {
	signals := make(chan os.Signal, 1)
	notifyChildren(signals)
	for {
		for {
			pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
			if pid <= 0 && !errors.Is(err, unix.EINTR) {
				break
			}
		}
		<-signals
	}
}

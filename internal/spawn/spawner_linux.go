package spawn

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/pidfd"
	"reconciler.dev/reconciler/internal/procfs"
)

// forks is held while children inherit from this process what they shouldn't share. It is a variable of the package because it guards something
// that the kernel keeps once for the process.
var forks sync.Mutex

// Spawner starts processes. It may be used by any number of goroutines.
type Spawner struct {
	umask int
	nice  int
	null  *os.File
	ends  pidfd.Poller
}

// Process is a started process. Whoever started it closes FD.
type Process struct {
	PID int
	FD  pidfd.FD
}

// New returns a Spawner, after it saw to it that children inherit nothing by accident: descriptors that this process inherited itself are closed in children, and signals
// that it inherited as ignored go on being ignored here but not in children. Call it once, early.
func New() (*Spawner, error) {
	if err := closeInherited(); err != nil {
		return nil, fmt.Errorf("keep inherited descriptors from children: %w", err)
	}
	in, err := procfs.ReadInherited()
	if err != nil {
		return nil, err
	}
	ignoreHere(in.Ignored)
	prio, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		return nil, fmt.Errorf("read the own priority: %w", err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, fmt.Errorf("open the standard input of children: %w", err)
	}
	return &Spawner{umask: in.Umask, nice: 20 - prio, null: null}, nil // the system call returns 40 to 1 for -20 to 19
}

// closeInherited marks all descriptors above 2 close-on-exec.
func closeInherited() error {
	err := unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC)
	if err == nil {
		return nil
	}
	fds, err := filepath.Glob("/proc/self/fd/*") // a kernel before 5.11
	if err != nil {
		return err
	}
	for _, path := range fds {
		if fd, err := strconv.Atoi(filepath.Base(path)); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

// ignoreHere replaces "ignored", which children would inherit, by a handler that does nothing, which execve(2) resets to the default.
func ignoreHere(set uint64) {
	nobody := make(chan os.Signal, 1)
	for n := 1; n <= 64; n++ {
		switch {
		case set&(1<<(n-1)) == 0:
		case n == sigCancel || n == sigSetXID:
			dispose(n, sigDefault)
		default:
			signal.Notify(nobody, syscall.Signal(n))
		}
	}
}

// The two signals that the C library keeps for itself (signal(7)). The Go runtime leaves them alone, and make starts its children with both ignored.
const (
	sigCancel = 32
	sigSetXID = 33
)

// What can become of a signal without a handler.
const (
	sigDefault = 0
	sigIgnore  = 1
)

// dispose is rt_sigaction(2) without a handler. In the kernel's struct, which begins with the handler on every platform but MIPS, all else is zero then.
func dispose(n int, how uintptr) {
	action := [8]uintptr{how}
	unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(n), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0) // where it fails the signal is as it was
}

// Start starts c in a session of its own, with only descriptors 0, 1 and 2 and those of its listeners, all signals at their default and none blocked. It returns when the program has been
// executed. The error is an *Error where the child couldn't become what c says; nothing is left of it then.
func (s *Spawner) Start(c Cmd) (Process, error) {
	switch {
	case len(c.Rlimits) > 0 || len(c.Listeners) > 0 || c.NoNewPrivileges || c.Capabilities != nil:
		return s.launch(c)
	case c.Umask == s.umask && c.Nice == s.nice:
		return s.direct(c)
	}
	p, err := s.onOwnThread(c)
	if errors.Is(err, errNoThread) {
		return s.launch(c)
	}
	return p, err
}

// direct starts c from the calling thread, whose umask and priority it inherits.
func (s *Spawner) direct(c Cmd) (Process, error) {
	p, err := fork(procfs.Tag(c.Tag), c.Path, c.Args, &syscall.ProcAttr{
		Dir: c.Dir, Env: c.Env, Files: s.files(c),
		Sys: inCgroup(&syscall.SysProcAttr{Setsid: true, Credential: credential(c.Account)}, c.Cgroup),
	})
	if err != nil {
		return Process{}, explain(c, "", err)
	}
	return p, nil
}

// errNoThread says that a thread can't have a umask of its own here: some containers forbid unshare(2).
var errNoThread = errors.New("no umask for a thread")

// onOwnThread starts c from a thread of its own, which has the umask and the priority that c is to inherit, and ends then: on Linux both can belong to a thread.
func (s *Spawner) onOwnThread(c Cmd) (p Process, err error) {
	onLostThread(func() {
		if unix.Unshare(unix.CLONE_FS) != nil {
			err = errNoThread
			return
		}
		unix.Umask(c.Umask)
		if niceErr := setNice(c.Nice); niceErr != nil {
			err = explain(c, stages[atNice], niceErr)
			return
		}
		p, err = s.direct(c)
	})
	return p, err
}

// onLostThread runs f on a thread that ends with it, so that what f does to its thread does nothing to anybody else. That is never the main thread, by which
// others see the process.
func onLostThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if unix.Gettid() == os.Getpid() {
			onLostThread(f) // on another one, because this one is taken
			runtime.UnlockOSThread()
			return
		}
		f()
	}()
	<-done
}

func (s *Spawner) files(c Cmd) []uintptr {
	return []uintptr{s.null.Fd(), c.Stdout.Fd(), c.Stderr.Fd()}
}

// MayStartInCgroup tells whether Cmd.Cgroup can be honoured, as far as the system call for it goes: clone3(2), which filters of system calls may keep from us, is an error without
// arguments, and another one where there is none.
func MayStartInCgroup() bool {
	_, _, err := unix.RawSyscall(unix.SYS_CLONE3, 0, 0, 0)
	return err != unix.ENOSYS && err != unix.EPERM
}

// inCgroup has a child begin in a cgroup.
func inCgroup(attr *syscall.SysProcAttr, cgroup int) *syscall.SysProcAttr {
	attr.UseCgroupFD, attr.CgroupFD = cgroup != 0, cgroup
	return attr
}

func credential(a *Account) *syscall.Credential {
	if a == nil {
		return nil
	}
	return &syscall.Credential{Uid: a.UID, Gid: a.GID, Groups: a.Groups}
}

// fork starts path while this process carries the tag and the thread blocks no signal.
func fork(tag procfs.Tag, path string, argv []string, attr *syscall.ProcAttr) (Process, error) {
	fd := -1
	attr.Sys.PidFD = &fd
	pid, err := func() (int, error) {
		forks.Lock() // before the thread is taken: whoever waits here must not keep one
		defer forks.Unlock()
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		var old unix.Sigset_t
		if err := unix.PthreadSigmask(unix.SIG_SETMASK, &unix.Sigset_t{}, &old); err != nil {
			return 0, err
		}
		defer unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil) // it can't fail: old was read from there
		if tag == 0 {
			return syscall.ForkExec(path, argv, attr)
		}
		undo, err := tag.Set()
		if err != nil {
			return 0, err
		}
		pid, err := syscall.ForkExec(path, argv, attr)
		if undoErr := undo(); undoErr != nil {
			panic("this process can't shed the tag of its child: " + undoErr.Error()) // the next child would be taken for a member of this one's tree
		}
		return pid, err
	}()
	if err != nil {
		return Process{}, err
	}
	if fd < 0 { // a kernel without CLONE_PIDFD; the number is still this child's, because nobody has reaped it
		f, err := pidfd.Open(pid)
		if err != nil {
			return Process{}, err
		}
		return Process{pid, f}, nil
	}
	return Process{pid, pidfd.FD(fd)}, nil
}

// Package pidfd holds on to processes by descriptors that can't come to mean another process: see pidfd_open(2). Through one a process is signalled,
// waited for, and asked how it ended.
//
// It must never signal by number, spend a goroutine or a thread on a process, or reap a process that it wasn't asked about.
package pidfd

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/procfs"
)

// FD is a pidfd. Whoever opened it closes it. The zero of it is no FD: use None.
type FD int

// None is no FD.
const None FD = -1

// ErrGone is what using a process that doesn't exist wraps.
var ErrGone = procfs.ErrGone

// Open returns an FD of the process that has this number now. It says nothing about whether that is the one you mean: verify the identity after opening.
// The error wraps ErrGone where there is no such process.
func Open(pid int) (FD, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	switch {
	case err == nil:
		return FD(fd), nil
	case errors.Is(err, unix.ESRCH), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT): // EINVAL, ENOENT: a thread of another process has the number
		return None, fmt.Errorf("open process %d: %w", pid, ErrGone)
	case errors.Is(err, unix.ENOSYS):
		return None, fmt.Errorf("open process %d: this kernel is older than Linux 5.3 and has no pidfd_open: %w", pid, err)
	}
	return None, fmt.Errorf("open process %d: %w", pid, err)
}

// Close lets go of the process.
func (f FD) Close() {
	if f >= 0 {
		unix.Close(int(f)) // a pidfd has nothing to flush: there is nothing to do about an error
	}
}

// Signal sends sig. The error wraps ErrGone where the process has ended and was reaped.
func (f FD) Signal(sig unix.Signal) error {
	switch err := unix.PidfdSendSignal(int(f), sig, nil, 0); {
	case errors.Is(err, unix.ESRCH):
		return fmt.Errorf("send %s: %w", unix.SignalName(sig), ErrGone)
	case err != nil:
		return fmt.Errorf("send %s: %w", unix.SignalName(sig), err)
	}
	return nil
}

// Ended tells whether the process has ended with all its threads. Its parent may not have noticed yet.
func (f FD) Ended() (bool, error) {
	p := []unix.PollFd{{Fd: int32(f), Events: unix.POLLIN}}
	for {
		switch _, err := unix.Poll(p, 0); {
		case err == unix.EINTR:
		case err != nil:
			return false, fmt.Errorf("look whether a process has ended: %w", err)
		default:
			return p[0].Revents != 0, nil
		}
	}
}

// reapWait bounds the wait for the parent of an ended process to take its status, which is when the kernel tells it to others.
const reapWait = 5 * time.Millisecond

// Status returns how an ended process ended. known is false where the kernel doesn't tell us: it isn't our child, we may not look at it, and
// the kernel is older than 6.15 or the descriptor was opened after the end. A child is reaped by it, unless peek is set.
func (f FD) Status(pid int, peek bool) (status unix.WaitStatus, known bool) {
	if s, ok := f.wait(peek); ok {
		return s, true
	}
	deadline := time.Now().Add(reapWait)
	for {
		if s, ok := f.zombieStatus(pid); ok {
			return s, true
		}
		s, ok, supported := f.info()
		if ok {
			return s, true
		}
		if !supported || !time.Now().Before(deadline) {
			return 0, false
		}
		<-time.After(200 * time.Microsecond)
	}
}

// wait asks as the parent.
func (f FD) wait(peek bool) (unix.WaitStatus, bool) {
	options := unix.WEXITED | unix.WNOHANG
	if peek {
		options |= unix.WNOWAIT
	}
	var si unix.Siginfo
	for {
		switch err := unix.Waitid(unix.P_PIDFD, int(f), &si, options, nil); err {
		case unix.EINTR:
		case nil:
			return childStatus(&si)
		default: // ECHILD: not a child of ours, or reaped already
			return 0, false
		}
	}
}

// childStatus makes a wait status of what waitid(2) filled in, if it did.
func childStatus(si *unix.Siginfo) (unix.WaitStatus, bool) {
	const words = unsafe.Sizeof(*si) / 4
	fields := (*[words]int32)(unsafe.Pointer(si))[3+^uint(0)>>63:] // si_pid, si_uid, si_status: a union behind three ints, aligned like a pointer
	pid, status := fields[0], unix.WaitStatus(fields[2])
	if pid == 0 {
		return 0, false
	}
	switch si.Code {
	case cldExited:
		return status << 8, true
	case cldDumped:
		return status | 0x80, true
	default:
		return status, true
	}
}

// See siginfo(2).
const (
	cldExited = 1
	cldDumped = 3
)

// zombieStatus reads the status of somebody else's child that hasn't been reaped.
func (f FD) zombieStatus(pid int) (unix.WaitStatus, bool) {
	st, err := procfs.ReadStat(pid)
	if err != nil || !st.Dead() || !mayTrace(pid) {
		return 0, false
	}
	if f.Signal(0) != nil { // reaped meanwhile: the number may have been another's
		return 0, false
	}
	return unix.WaitStatus(st.ExitCode), true
}

// mayTrace tells whether the kernel shows us the exit code in /proc/PID/stat; it shows 0 to others.
func mayTrace(pid int) bool {
	me := os.Geteuid()
	if me == 0 {
		return true
	}
	var st unix.Stat_t
	return unix.Stat("/proc/"+strconv.Itoa(pid), &st) == nil && int(st.Uid) == me
}

// info asks for the status of a process that has been reaped: Linux 6.15.
func (f FD) info() (status unix.WaitStatus, known, supported bool) {
	pi := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	if err := unix.IoctlPidfdInfo(int(f), &pi); err != nil {
		// ESRCH: reaped, and nobody had the kernel keep the status; ENOTTY, EINVAL: an older kernel.
		return 0, false, false
	}
	if pi.Mask&unix.PIDFD_INFO_EXIT == 0 {
		return 0, false, true
	}
	return unix.WaitStatus(pi.Exit_code), true, true
}

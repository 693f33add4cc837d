package procfs

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"

	"golang.org/x/sys/unix"
)

// Tag marks a process and all its descendants. It is the soft RLIMIT_LOCKS, a limit that has had no effect since Linux 2.4.25: the kernel hands it down
// through fork(2) and execve(2), whatever the process does to its session, user, environment or name, and prlimit(2) reads it back. 0 is no tag.
type Tag uint64

// tagBits leaves RLIM_INFINITY and what a 32-bit kernel makes of it alone, and all numbers that a person would set as a limit.
const tagBits = 30 + 32*(^uint(0)>>63)

// NewTag returns a random tag. No two instances of daemons ever have the same.
func NewTag() Tag {
	return Tag(1)<<(tagBits-1) | Tag(rand.Uint64()>>(64-tagBits+1))
}

// Set makes t the tag that children of this process inherit from now on, and returns what undoes that. The caller sees to it that nobody else forks meanwhile.
func (t Tag) Set() (undo func() error, err error) {
	var old unix.Rlimit
	if err := unix.Prlimit(0, resourceLocks, nil, &old); err != nil {
		return nil, err
	}
	if err := unix.Prlimit(0, resourceLocks, &unix.Rlimit{Cur: uint64(t), Max: max(old.Max, uint64(t))}, nil); err != nil {
		return nil, fmt.Errorf("mark children by RLIMIT_LOCKS (hard limit %d; it must be unlimited): %w", old.Max, err)
	}
	return func() error { return unix.Prlimit(0, resourceLocks, &old, nil) }, nil
}

// resourceLocks is RLIMIT_LOCKS on every architecture.
const resourceLocks = 10

// valid tells a tag from a limit that somebody set.
func (t Tag) valid() bool { return t>>(tagBits-1) == 1 }

// ReadTag returns the tag of a process, 0 where it has none, and an error that wraps ErrGone where there is no such process. A process that has ended and
// whose parent hasn't noticed yet still has its tag.
func ReadTag(pid int) (Tag, error) {
	var lim unix.Rlimit
	err := unix.Prlimit(pid, resourceLocks, nil, &lim)
	if errors.Is(err, unix.EPERM) {
		return readTagFile(pid)
	}
	if err != nil {
		return 0, gone(pid, err)
	}
	if t := Tag(lim.Cur); t.valid() {
		return t, nil
	}
	return 0, nil
}

// readTagFile reads the tag from /proc/PID/limits, which prlimit(2) refuses to read for processes that changed their user.
func readTagFile(pid int) (Tag, error) {
	var buf [4096]byte
	text, err := readSmall("/proc/"+strconv.Itoa(pid)+"/limits", buf[:])
	if err != nil {
		return 0, gone(pid, err)
	}
	_, rest, _ := bytes.Cut(text, []byte("\nMax file locks"))
	for word := range bytes.FieldsSeq(rest) {
		v, err := strconv.ParseUint(string(word), 10, 64)
		if err == nil && Tag(v).valid() {
			return Tag(v), nil
		}
		break
	}
	return 0, nil
}

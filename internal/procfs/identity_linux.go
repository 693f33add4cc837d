package procfs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// Identity is what /proc/PID/status says of who a process is and what it was given: see proc_pid_status(5).
type Identity struct {
	// Process is the process that a thread belongs to.
	Process  int
	UID, GID uint32 // real ones
	Umask    int
}

// ReadIdentity reads that of a process. The error wraps ErrGone where there is none.
func ReadIdentity(pid int) (Identity, error) {
	var buf [8192]byte
	text, err := readSmall("/proc/"+strconv.Itoa(pid)+"/status", buf[:])
	if err != nil {
		return Identity{}, gone(pid, err)
	}
	var id Identity
	var all error
	field := func(name string, base int) uint64 {
		_, rest, _ := bytes.Cut(text, []byte("\n"+name+":"))
		line, _, _ := bytes.Cut(rest, []byte("\n"))
		words := bytes.Fields(line)
		if len(words) == 0 {
			all = errors.Join(all, fmt.Errorf("read the status of process %d: there is no %s in it", pid, name))
			return 0
		}
		v, err := strconv.ParseUint(string(words[0]), base, 32)
		all = errors.Join(all, err)
		return v
	}
	id.Process, id.UID, id.GID, id.Umask = int(field("Tgid", 10)), uint32(field("Uid", 10)), uint32(field("Gid", 10)), int(field("Umask", 8))
	return id, all
}

// maxEnviron bounds how much of an environment is read.
const maxEnviron = 4 << 20

// Environ returns the variables that a process was started with, NAME=VALUE. It takes the rights to ptrace(2) it.
func Environ(pid int) ([]string, error) {
	f, err := os.Open("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return nil, gone(pid, err)
	}
	defer f.Close()
	var text []byte
	for buf := make([]byte, 64<<10); len(text) < maxEnviron; {
		n, err := f.Read(buf)
		text = append(text, buf[:n]...)
		if err != nil || n == 0 {
			break
		}
	}
	return splitZeros(text), nil
}

// Descendants returns the processes that come from one, itself first and parents before their children. Those whose parent has ended meanwhile are lost sight of.
func Descendants(root int) ([]Stat, error) {
	children := map[int][]Stat{}
	var all []Stat
	for pid, err := range PIDs() {
		if err != nil {
			return nil, err
		}
		st, err := ReadStat(pid)
		switch {
		case errors.Is(err, ErrGone):
		case err != nil:
			return nil, err
		case pid == root:
			all = append(all, st)
		default:
			children[st.PPID] = append(children[st.PPID], st)
		}
	}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i].PID]...)
	}
	return slices.DeleteFunc(all, Stat.Dead), nil
}

// Give gives the tag to a process that runs, and to those that it will make. The error wraps ErrGone where there is none.
func (t Tag) Give(pid int) error {
	var old unix.Rlimit
	err := unix.Prlimit(pid, resourceLocks, nil, &old)
	if err == nil {
		err = unix.Prlimit(pid, resourceLocks, &unix.Rlimit{Cur: uint64(t), Max: max(old.Max, uint64(t))}, nil)
	}
	if err != nil {
		return fmt.Errorf("mark process %d by RLIMIT_LOCKS: %w", pid, gone(pid, err))
	}
	return nil
}

package procfs

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// Stat is the part of /proc/PID/stat that tells who a process is and how it does.
type Stat struct {
	PID     int
	State   byte // as in ps(1): R S D T t Z X I
	PPID    int
	PGRP    int
	Session int
	// Start is when it was started, in clock ticks (1/100 s) since boot. Together with PID and boot id it names one process for ever.
	Start uint64
	// ExitCode is a wait status as waitpid(2) has it, of a process in state Z. It is 0 where the reader may not ptrace(2) the process.
	ExitCode int
}

// Dead tells whether the process has ended, and at most waits for its parent to notice.
func (s Stat) Dead() bool { return s.State == 'Z' || s.State == 'X' }

// ErrGone is what a look at a process that doesn't exist wraps.
var ErrGone = errors.New("no such process")

// The places of fields behind the command, which ends with the last ')': field 3, the state, is the first.
const (
	fieldState, fieldPPID, fieldPGRP, fieldSession, fieldStart, fieldExit = 0, 1, 2, 3, 19, 49
)

// ParseStat reads one line of /proc/PID/stat. The command in it may hold anything, spaces, newlines and parentheses included.
func ParseStat(line []byte) (Stat, error) {
	open, shut := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')')
	if open < 0 || shut < open {
		return Stat{}, errors.New("parse stat of a process: no command in parentheses")
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(line[:open])))
	if err != nil || pid <= 0 {
		return Stat{}, fmt.Errorf("parse stat of a process: %q is no process number", line[:open])
	}
	s := Stat{PID: pid}
	field := 0
	for word := range bytes.FieldsSeq(line[shut+1:]) {
		if err := s.set(field, word); err != nil {
			return Stat{}, fmt.Errorf("parse stat of process %d: field %d: %w", pid, field+3, err)
		}
		if field++; field > fieldExit {
			break
		}
	}
	if field <= fieldStart {
		return Stat{}, fmt.Errorf("parse stat of process %d: it ends at field %d", pid, field+2)
	}
	return s, nil
}

func (s *Stat) set(field int, word []byte) (err error) {
	switch field {
	case fieldState:
		if len(word) != 1 || word[0] < 'A' || word[0] > 'z' {
			return fmt.Errorf("%q is no state", word)
		}
		s.State = word[0]
	case fieldPPID:
		s.PPID, err = strconv.Atoi(string(word))
	case fieldPGRP:
		s.PGRP, err = strconv.Atoi(string(word))
	case fieldSession:
		s.Session, err = strconv.Atoi(string(word))
	case fieldStart:
		s.Start, err = strconv.ParseUint(string(word), 10, 64)
	case fieldExit:
		s.ExitCode, err = strconv.Atoi(string(word))
	}
	return err
}

// ReadStat reads the stat of a process. The error wraps ErrGone where there is none of that number.
func ReadStat(pid int) (Stat, error) {
	var buf [1024]byte
	line, err := readSmall("/proc/"+strconv.Itoa(pid)+"/stat", buf[:])
	if err != nil {
		return Stat{}, gone(pid, err)
	}
	return ParseStat(line)
}

// gone turns the errors by which the kernel says that a process isn't there, or ended meanwhile, into ErrGone.
func gone(pid int, err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("look at process %d: %w", pid, ErrGone)
	}
	return fmt.Errorf("look at process %d: %w", pid, err)
}

// readSmall reads a file of /proc into buf, without the cost of an os.File. A longer one is cut.
func readSmall(path string, buf []byte) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	for {
		n, err := unix.Read(fd, buf)
		if err != unix.EINTR {
			return buf[:max(n, 0)], err
		}
	}
}

package labhost

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Process is a process of a host that hasn't ended.
type Process struct {
	// PID is its number on the host, and machine the one on this machine.
	PID     int
	machine int
	// User is its user id.
	User int
	Args []string
}

func (p Process) String() string {
	return fmt.Sprintf("process %d: %s", p.PID, strings.Join(p.Args, " "))
}

// Processes lists the processes of the host in the order of their numbers, seen from outside: it takes no process there to look, nor one that answers.
func (h *Host) Processes() ([]Process, error) {
	var all []Process
	err := filepath.WalkDir(h.boot.cgroup, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "cgroup.procs" {
			return nil // what goes away meanwhile has no processes
		}
		pids, err := os.ReadFile(path)
		for pid := range strings.FieldsSeq(string(pids)) {
			if p, ok := lookAt(pid); ok {
				all = append(all, p)
			}
		}
		return ignoreGone(err)
	})
	if err != nil {
		return nil, fmt.Errorf("list the processes of %s: %w", h.Name, err)
	}
	slices.SortFunc(all, func(a, b Process) int { return a.PID - b.PID })
	return slices.CompactFunc(all, func(a, b Process) bool { return a.PID == b.PID }), nil // it may move from one cgroup to another meanwhile
}

// lookAt reads what there is to know of a process; not ok where it has ended, reaped or not.
func lookAt(pid string) (p Process, ok bool) {
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return p, false
	}
	args, err := os.ReadFile("/proc/" + pid + "/cmdline")
	if err != nil {
		return p, false
	}
	p.Args = strings.Split(strings.TrimRight(string(args), "\x00"), "\x00")
	p.machine, _ = strconv.Atoi(pid)
	for line := range strings.Lines(string(status)) {
		switch f := strings.Fields(line); {
		case len(f) < 2:
		case f[0] == "State:" && (f[1] == "Z" || f[1] == "X"):
			return p, false
		case f[0] == "Uid:":
			p.User, _ = strconv.Atoi(f[1])
		case f[0] == "NSpid:":
			p.PID, _ = strconv.Atoi(f[min(3, len(f)-1)]) // after that of this machine and that of the lab; one more follows where it is in a namespace of its own
		}
	}
	return p, true
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

// Signal sends a signal to a process of the host, which has to be what Processes said; else the error wraps ESRCH.
func (h *Host) Signal(p Process, s unix.Signal) error {
	fd, err := unix.PidfdOpen(p.machine, 0)
	if err != nil {
		return fmt.Errorf("signal %v of %s: %w", p, h.Name, err)
	}
	defer unix.Close(fd)
	if now, ok := lookAt(strconv.Itoa(p.machine)); !ok || now.PID != p.PID || !slices.Equal(now.Args, p.Args) {
		return fmt.Errorf("signal %v of %s: it is another one now: %w", p, h.Name, unix.ESRCH)
	}
	if err := unix.PidfdSendSignal(fd, s, nil, 0); err != nil {
		return fmt.Errorf("signal %v of %s: %w", p, h.Name, err)
	}
	return nil
}

package spawn

import (
	"errors"
	"fmt"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// resources are the limits of getrlimit(2) by name, in the order in which the launcher sets them: those that could hinder the launcher itself come last.
var resources = []struct {
	name string
	id   int
}{
	{"nofile", unix.RLIMIT_NOFILE}, {"core", unix.RLIMIT_CORE}, {"cpu", unix.RLIMIT_CPU}, {"fsize", unix.RLIMIT_FSIZE}, {"memlock", unix.RLIMIT_MEMLOCK},
	{"msgqueue", unix.RLIMIT_MSGQUEUE}, {"nice", unix.RLIMIT_NICE}, {"rss", unix.RLIMIT_RSS}, {"rtprio", unix.RLIMIT_RTPRIO}, {"rttime", unix.RLIMIT_RTTIME},
	{"sigpending", unix.RLIMIT_SIGPENDING}, {"stack", unix.RLIMIT_STACK}, {"data", unix.RLIMIT_DATA}, {"nproc", unix.RLIMIT_NPROC}, {"as", unix.RLIMIT_AS},
}

// CheckRlimit tells why a limit can't be set; nil: it can, if this process may.
func CheckRlimit(name string) error {
	if name == "locks" {
		return errors.New("there is no limit on locks on Linux since 2.4.25")
	}
	if resourceAt(name) < 0 {
		return fmt.Errorf("there is no process limit %q on Linux", name)
	}
	return nil
}

func resourceAt(name string) int {
	for i, r := range resources {
		if r.name == name {
			return i
		}
	}
	return -1
}

// setRlimits sets the limits of this process. It must come through package syscall, which then won't put its own idea of nofile back.
func setRlimits(limits []Rlimit) error {
	limits = slices.Clone(limits)
	slices.SortFunc(limits, func(a, b Rlimit) int { return resourceAt(a.Name) - resourceAt(b.Name) })
	for _, l := range limits {
		i := resourceAt(l.Name)
		if i < 0 {
			return syscall.EINVAL
		}
		r := rlimit(l)
		if err := syscall.Setrlimit(resources[i].id, &r); err != nil {
			return err
		}
	}
	return nil
}

func rlimit(l Rlimit) syscall.Rlimit { return syscall.Rlimit{Cur: l.Soft, Max: l.Hard} }

// LimitOf reads a limit of a process that runs.
func LimitOf(pid int, name string) (Rlimit, error) {
	i := resourceAt(name)
	if i < 0 {
		return Rlimit{}, CheckRlimit(name)
	}
	var have unix.Rlimit
	if err := unix.Prlimit(pid, resources[i].id, nil, &have); err != nil {
		return Rlimit{}, fmt.Errorf("read limit %s of process %d: %w", name, pid, err)
	}
	return Rlimit{Name: name, Soft: have.Cur, Hard: have.Max}, nil
}

// SetLimitOf sets a limit of a process that runs, as prlimit(2) does.
func SetLimitOf(pid int, l Rlimit) error {
	i := resourceAt(l.Name)
	if i < 0 {
		return CheckRlimit(l.Name)
	}
	if err := unix.Prlimit(pid, resources[i].id, &unix.Rlimit{Cur: l.Soft, Max: l.Hard}, nil); err != nil {
		return fmt.Errorf("set limit %s of process %d: %w", l.Name, pid, err)
	}
	return nil
}

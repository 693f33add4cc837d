package spawn

import (
	"errors"
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// MayDropCapabilities tells whether this process may take capabilities from its children for ever (CAP_SETPCAP), as Cmd.Capabilities asks: root may, as a rule.
func MayDropCapabilities() bool {
	var data [2]unix.CapUserData
	err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &data[0])
	return err == nil && data[0].Effective&(1<<unix.CAP_SETPCAP) != 0
}

// maxCapability is more than any kernel's last one: see capabilities(7).
const maxCapability = 63

// limitCapabilities takes from this thread, and from whatever it executes, all capabilities but those in keep, as far as that can be done before it becomes its
// user: see PR_CAPBSET_DROP and PR_SET_KEEPCAPS in prctl(2). A nil keep takes none.
func limitCapabilities(keep []int) error {
	if keep == nil {
		return nil
	}
	for c := range maxCapability {
		if slices.Contains(keep, c) {
			continue
		}
		if err := prctl(unix.PR_CAPBSET_DROP, c, 0); errors.Is(err, syscall.EINVAL) {
			break // the kernel has no more
		} else if err != nil {
			return err
		}
	}
	return prctl(unix.PR_SET_KEEPCAPS, 1, 0) // until the execve(2)
}

// setCapabilities makes have the capabilities of this thread, and has them survive the execve(2) where the user isn't root: see capabilities(7), ambient set.
func setCapabilities(have []int) error {
	if have == nil {
		return nil
	}
	var data [2]unix.CapUserData
	for _, c := range have {
		bit := uint32(1) << (c % 32)
		data[c/32].Effective |= bit
		data[c/32].Permitted |= bit
		data[c/32].Inheritable |= bit
	}
	if err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &data[0]); err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		return nil // root gets what the bounding set leaves
	}
	for _, c := range have {
		if err := prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, c); err != nil {
			return err
		}
	}
	return nil
}

// prctl is prctl(2) for this thread, with nothing that needs memory.
func prctl(option, arg2, arg3 int) error {
	if _, _, errno := unix.RawSyscall6(unix.SYS_PRCTL, uintptr(option), uintptr(arg2), uintptr(arg3), 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

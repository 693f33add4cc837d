package procfs

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Ticks is how many clock ticks of Stat.Start make a second. The kernel shows them to programs with this value everywhere (USER_HZ).
const Ticks = 100

// BootID returns the id that the kernel gave to this boot.
func BootID() (string, error) {
	var buf [64]byte
	id, err := readSmall("/proc/sys/kernel/random/boot_id", buf[:])
	if err != nil {
		return "", fmt.Errorf("read the boot id: %w", err)
	}
	return string(bytes.TrimSpace(id)), nil
}

// SinceBoot is the time since boot, suspended time included: the clock of Stat.Start, which nobody can set.
func SinceBoot() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic("the kernel has no CLOCK_BOOTTIME: " + err.Error()) // every Linux since 2.6.39 has it
	}
	return time.Duration(ts.Nano())
}

// Age is how long ago a process was started that has this start time.
func Age(startTicks uint64) time.Duration {
	return max(0, SinceBoot()-time.Duration(startTicks)*(time.Second/Ticks))
}

// Inherited is what a process hands down to its children without being asked.
type Inherited struct {
	// Umask is the file mode creation mask.
	Umask int
	// Ignored is the set of signals that are ignored, bit N-1 for signal N.
	Ignored uint64
}

// ReadInherited reads that of this process. It needs Linux 4.7.
func ReadInherited() (Inherited, error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return Inherited{}, fmt.Errorf("read the own status: %w", err)
	}
	var in Inherited
	for _, f := range []struct {
		name string
		base int
		set  func(uint64)
	}{
		{"\nUmask:", 8, func(v uint64) { in.Umask = int(v) }},
		{"\nSigIgn:", 16, func(v uint64) { in.Ignored = v }},
	} {
		_, rest, _ := bytes.Cut(text, []byte(f.name))
		word, _, _ := bytes.Cut(rest, []byte("\n"))
		v, err := strconv.ParseUint(string(bytes.TrimSpace(word)), f.base, 64)
		if err != nil {
			return Inherited{}, fmt.Errorf("read %q of the own status: %w", f.name[1:], err)
		}
		f.set(v)
	}
	return in, nil
}

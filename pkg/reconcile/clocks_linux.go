package reconcile

import (
	"time"

	"golang.org/x/sys/unix"
)

// SystemClocks returns the reader of CLOCK_MONOTONIC and CLOCK_BOOTTIME, see clock_gettime(2). Any number of goroutines may call it.
func SystemClocks() func() Clocks {
	return func() Clocks { return Clocks{Awake: clock(unix.CLOCK_MONOTONIC), Total: clock(unix.CLOCK_BOOTTIME)} }
}

// clock is 0 for a clock that this kernel hasn't: a sleep goes unseen then.
func clock(id int32) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(id, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

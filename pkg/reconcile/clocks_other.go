//go:build !linux

package reconcile

import "time"

// SystemClocks returns a reader of Go's monotonic clock beside the wall clock: a wall clock that is set forward looks like a sleep, which
// does no harm. Any number of goroutines may call it.
func SystemClocks() func() Clocks {
	start := time.Now()
	return func() Clocks {
		now := time.Now()
		return Clocks{Awake: now.Sub(start), Total: time.Duration(now.UnixNano())}
	}
}

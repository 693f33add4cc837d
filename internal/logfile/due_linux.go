package logfile

import (
	"errors"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/flock"
)

// Limits of a log of which nobody says anything else.
const (
	DefaultSize = 10 << 20
	DefaultKeep = 3
)

// RotateDue is Rotate for a log that anybody may change who has its daemon's lock, which lock takes without waiting. Where the log is within limit it isn't taken; where somebody else
// has it, which is an error that wraps flock.ErrHeld, the log is left to the next time. A limit or keep of 0 is the default.
func RotateDue(path string, limit int64, keep int, lock func() (*flock.Held, error)) (rotated bool, err error) {
	if limit == 0 {
		limit = DefaultSize
	}
	if keep == 0 {
		keep = DefaultKeep
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil || st.Blocks*512 <= limit {
		return false, nil // not there, or not due; a hole takes no blocks
	}
	held, err := lock()
	if errors.Is(err, flock.ErrHeld) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer held.Release()
	return Rotate(path, limit, keep)
}

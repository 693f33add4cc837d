//go:build !linux

package logfile

import (
	"errors"
	"fmt"
)

// Rotate can't cut off the front of a file that somebody writes to: that needs Linux.
func Rotate(path string, limit int64, keep int) (rotated bool, err error) {
	return false, fmt.Errorf("rotate log %s: %w on this system", path, errors.ErrUnsupported)
}

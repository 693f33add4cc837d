package systemd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/atomicfile"
	"reconciler.dev/reconciler/internal/logfile"
	"reconciler.dev/reconciler/pkg/spec"
)

// Limits of a log whose spec says nothing.
const (
	defaultMaxSize  = 10 << 20
	defaultMaxFiles = 3
)

// sweepAge is older than any file that is still being written.
const sweepAge = time.Hour

// Housekeep rotates the log files that have grown beyond their limit, and removes what interrupted writes left. What goes to the journal is journald's to limit. It is busy while logs grow.
func (d *Driver) Housekeep(ctx context.Context) (busy bool, err error) {
	found, err := d.units.scan()
	if err != nil {
		return false, fmt.Errorf("look at unit files: %w", err)
	}
	var errs []error
	for _, f := range found {
		if ctx.Err() != nil {
			return busy, errors.Join(append(errs, ctx.Err())...)
		}
		if f.stamp == nil || f.stamp.Spec.Log.Path == "" {
			continue
		}
		rotated, err := d.rotateIfDue(f.stamp.Name, &f.stamp.Spec)
		busy = busy || rotated
		errs = append(errs, err)
	}
	errs = append(errs, atomicfile.Sweep(d.notes.dir, sweepAge), atomicfile.Sweep(d.scope.units, sweepAge))
	return busy, errors.Join(errs...)
}

// rotateIfDue rotates a daemon's log under its lock where it has come due, unless somebody else has that: then it isn't urgent.
func (d *Driver) rotateIfDue(name string, s *spec.Spec) (rotated bool, err error) {
	maxSize, maxFiles := int64(s.Log.MaxSize), s.Log.MaxFiles
	if maxSize == 0 {
		maxSize = defaultMaxSize
	}
	if maxFiles == 0 {
		maxFiles = defaultMaxFiles
	}
	var st unix.Stat_t
	if err := unix.Stat(s.Log.Path, &st); err != nil || st.Blocks*512 <= maxSize {
		return false, nil // not there, or not due; a hole takes no blocks
	}
	lock := d.tryLock(name)
	if lock == nil {
		return false, nil
	}
	defer lock.Release()
	return logfile.Rotate(s.Log.Path, maxSize, maxFiles)
}

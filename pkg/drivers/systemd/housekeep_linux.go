package systemd

import (
	"context"
	"errors"
	"fmt"

	"reconciler.dev/reconciler/internal/atomicfile"
	"reconciler.dev/reconciler/internal/flock"
	"reconciler.dev/reconciler/internal/logfile"
	"reconciler.dev/reconciler/pkg/drivers"
)

// Housekeep rotates the log files that have grown beyond their limit, and removes what interrupted writes left. What goes to the journal is journald's to limit. It is busy while logs grow.
func (d *Driver) Housekeep(ctx context.Context) (busy bool, err error) {
	found, err := d.units.scan(nil)
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
		log := f.stamp.Spec.Log
		rotated, err := logfile.RotateDue(log.Path, int64(log.MaxSize), log.MaxFiles, func() (*flock.Held, error) { return drivers.TryLockName(d.dirs, f.stamp.Name) })
		busy = busy || rotated
		errs = append(errs, err)
	}
	errs = append(errs, d.sweepSockets(ctx, found), atomicfile.Sweep(d.notes.dir, atomicfile.Stale), atomicfile.Sweep(d.scope.units, atomicfile.Stale))
	return busy, errors.Join(errs...)
}

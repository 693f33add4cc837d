package process

import (
	"context"
	"errors"

	"reconciler.dev/reconciler/internal/atomicfile"
	"reconciler.dev/reconciler/internal/flock"
	"reconciler.dev/reconciler/internal/logfile"
	"reconciler.dev/reconciler/pkg/drivers"
)

// Housekeep rotates the logs that have grown beyond their limit, removes what interrupted writes left, and has the sockets of daemons held again where the holder was killed. It is busy while
// logs grow.
func (d *Driver) Housekeep(ctx context.Context) (busy bool, err error) {
	names, err := d.store.names()
	if err != nil {
		return false, err
	}
	var errs []error
	for _, name := range names {
		if ctx.Err() != nil {
			return busy, errors.Join(append(errs, ctx.Err())...)
		}
		rec, err := d.store.read(name)
		if err != nil || rec == nil {
			continue // Observe says what is the matter with it
		}
		if rec.Stamp != nil {
			log := &rec.Stamp.Spec.Log
			rotated, err := logfile.RotateDue(d.logPath(name, &rec.Stamp.Spec), int64(log.MaxSize), log.MaxFiles, func() (*flock.Held, error) { return drivers.TryLockName(d.dirs, name) })
			busy = busy || rotated
			errs = append(errs, err)
		}
		if rec.Instance != nil && rec.Instance.Exit != nil && (!rec.Gone || rec.Place != "") {
			errs = append(errs, d.recordGone(name))
		}
	}
	errs = append(errs, d.keepHeld(ctx), atomicfile.Sweep(d.dirs.Log, atomicfile.Stale))
	return busy, errors.Join(errs...)
}

// recordGone records that nothing is left of an ended instance, so that nobody has to look again, and removes its place.
func (d *Driver) recordGone(name string) error {
	lock, err := d.tryLock(name)
	if lock == nil {
		return err
	}
	defer lock.Release()
	f, err := d.settleTree(name, noMarks)
	if err != nil || f.rec == nil || !f.rec.Gone {
		return err
	}
	d.strays.forgetInstance(f.rec.Instance)
	next := *f.rec
	if err := d.trees.Remove(next.tree()); err != nil {
		return err
	}
	next.Place = ""
	return d.store.write(&next)
}

package process

import (
	"context"
	"errors"
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

// Housekeep rotates the logs that have grown beyond their limit, and removes what interrupted writes left. It is busy while logs grow.
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
			rotated, err := d.rotateIfDue(name, &rec.Stamp.Spec)
			busy = busy || rotated
			errs = append(errs, err)
		}
		if rec.Instance != nil && rec.Instance.Exit != nil && (!rec.Gone || rec.Place != "") {
			errs = append(errs, d.recordGone(name))
		}
	}
	errs = append(errs, atomicfile.Sweep(d.dirs.Log, sweepAge))
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

// rotateIfDue rotates a daemon's log under its lock where it has come due, unless somebody else has that: then it isn't urgent.
func (d *Driver) rotateIfDue(name string, s *spec.Spec) (rotated bool, err error) {
	path, maxSize, maxFiles := d.logPath(name, s), int64(s.Log.MaxSize), s.Log.MaxFiles
	if maxSize == 0 {
		maxSize = defaultMaxSize
	}
	if maxFiles == 0 {
		maxFiles = defaultMaxFiles
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil || st.Blocks*512 <= maxSize {
		return false, nil // not there, or not due; a hole takes no blocks
	}
	lock, err := d.tryLock(name)
	if lock == nil {
		return false, err
	}
	defer lock.Release()
	return logfile.Rotate(path, maxSize, maxFiles)
}

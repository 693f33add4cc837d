package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"reconciler.dev/reconciler/internal/atomicfile"
	"reconciler.dev/reconciler/internal/failpoint"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// remove removes what is left of a daemon that has ended. The unit file, which has the stamp, goes after all that only it accounts for.
func (d *Driver) remove(ctx context.Context, step spec.Step) error {
	f, l, err := d.findOne(ctx, step.Name)
	if err != nil {
		return err
	}
	if !f.ours() {
		return d.notes.remove(step.Name)
	}
	if err := drivers.CheckInstance(step, f.observed()); err != nil {
		return err
	}
	if f.alive() {
		return fmt.Errorf("it is running: stop it first: %w", drivers.ErrMoved)
	}
	if f.restarting {
		if err := d.cancelRestart(ctx, l, f); err != nil {
			return err
		}
	}
	if err := d.dropSockets(ctx, l, f.stamp(), nil); err != nil {
		return err
	}
	if err := d.removeUnit(f.name, f.unit); err != nil {
		return err
	}
	return d.forget(ctx, l, f.unit)
}

// removeUnit removes the files of a unit.
func (d *Driver) removeUnit(name, unit string) error {
	failpoint.Hit(failpoint.RemoveRecord)
	if err := errors.Join(
		atomicfile.Remove(filepath.Join(d.scope.wants, unit), atomicfile.Durable),
		d.clearDropIns(unit),
		atomicfile.Remove(d.secretsPath(name), atomicfile.Durable),
	); err != nil {
		return err
	}
	failpoint.Hit(failpoint.UnitDisabled)
	if err := atomicfile.Remove(d.scope.file(unit), atomicfile.Durable); err != nil {
		return err
	}
	d.units.forget(unit)
	failpoint.Hit(failpoint.RecordRemoved)
	return d.notes.remove(name)
}

// forget has the manager forget a unit without a file: one that failed it remembers for those who ask, and one that another unit names it keeps.
func (d *Driver) forget(ctx context.Context, l *link, unit string) error {
	if err := l.call(ctx, "ResetFailedUnit", unit).Store(); err != nil && !said(err, "NoSuchUnit") {
		return err
	}
	return d.reread(ctx, l, unit)
}

// clearDropIns removes what goes over the settings of a unit of ours, and what masks it.
func (d *Driver) clearDropIns(unit string) error {
	var errs []error
	for _, dir := range d.scope.editable() {
		in := filepath.Join(dir, unit+".d")
		if _, err := os.Lstat(in); err == nil {
			errs = append(errs, os.RemoveAll(in))
		}
		if path := filepath.Join(dir, unit); dir != d.scope.units && masked(path) {
			errs = append(errs, os.Remove(path))
		}
	}
	return errors.Join(errs...)
}

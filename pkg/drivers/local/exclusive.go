package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"reconciler.dev/reconciler/internal/flock"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// exclusive keeps two drivers of a machine from starting a daemon each: a driver's own lock excludes only those who use the same driver. Under a lock of its own a
// start is done only where no other driver has the daemon, or may have it.
type exclusive struct {
	drivers.Driver
	host *Host
}

func (e *exclusive) Unwrap() drivers.Driver { return e.Driver }

func (e *exclusive) Apply(ctx context.Context, step spec.Step) error {
	if step.Verb != spec.VerbStart && step.Verb != spec.VerbAdopt || len(e.host.bare) < 2 {
		return e.Driver.Apply(ctx, step)
	}
	lock := filepath.Join(e.host.dirs.Run, "starts.lock")
	held, err := flock.LockNamed(ctx, lock, step.Name)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(e.host.dirs.Run, 0o700); err != nil {
			return fmt.Errorf("start daemon %s: %w", step.Name, err)
		}
		held, err = flock.LockNamed(ctx, lock, step.Name)
	}
	if err != nil {
		return fmt.Errorf("start daemon %s: %w", step.Name, err)
	}
	defer held.Release()
	for _, other := range e.host.bare {
		if other.Kind() == e.Kind() {
			continue
		}
		name, _ := spec.LogicalName(step.Name)
		found, err := other.Observe(ctx, name, spec.SecondName(name))
		if err != nil {
			return fmt.Errorf("start daemon %s: look whether driver %s has it: %w", step.Name, other.Kind(), err)
		}
		for _, o := range found {
			if o.Stamp != nil || o.State == spec.Unknown {
				return fmt.Errorf("start daemon %s: driver %s has it (%s): %w", step.Name, other.Kind(), o.State, drivers.ErrMoved)
			}
		}
	}
	return e.Driver.Apply(ctx, step)
}

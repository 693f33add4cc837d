package process

import (
	"context"
	"errors"
	"fmt"
	"time"

	"reconciler.dev/reconciler/internal/failpoint"
	"reconciler.dev/reconciler/internal/pidfd"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// stamp writes the stamp, puts changed limits in force, and touches no process.
func (d *Driver) stamp(_ context.Context, step spec.Step) error {
	f, err := d.settle(step.Name, d.trees.Marks)
	if err != nil {
		return err
	}
	if err := checkMoved(step, f.rec); err != nil {
		return err
	}
	next := record{Name: step.Name}
	if f.rec != nil {
		next = *f.rec
	}
	next.Stamp = drivers.NewStamp(step, next.Stamp, time.Now())
	if f.alive {
		if err := d.refuseLosses(step.Want); err != nil {
			return err
		}
		if err := d.trees.Limit(next.tree(), &Mark{Stamp: next.Stamp, Instance: next.Instance}); err != nil {
			return err
		}
		failpoint.Hit(failpoint.StampLimited)
	}
	return d.store.write(&next)
}

// reload makes the main process reread its files.
func (d *Driver) reload(ctx context.Context, step spec.Step) error {
	f, err := d.settle(step.Name, d.trees.Marks)
	if err != nil {
		return err
	}
	if err := checkMoved(step, f.rec); err != nil {
		return err
	}
	if !f.alive {
		return fmt.Errorf("there is no process to reload: %w", drivers.ErrMoved)
	}
	return drivers.Reload(ctx, &step.Want.Spec, func(name spec.Signal) error { return signalMain(f.rec.Instance, name) })
}

// signalMain signals the main process of an instance.
func signalMain(i *spec.Instance, name spec.Signal) error {
	signal, err := drivers.Signal(name)
	if err != nil {
		return err
	}
	fd, err := pidfd.Open(i.PID)
	if err != nil {
		return fmt.Errorf("%w: %w", err, drivers.ErrMoved)
	}
	defer fd.Close()
	if live, err := same(fd, i); !live || err != nil {
		return errors.Join(fmt.Errorf("process %d ended meanwhile: %w", i.PID, drivers.ErrMoved), err)
	}
	return fd.Signal(signal)
}

// remove forgets a daemon that has ended. The lock file stays: to remove it would let two processes hold the same lock.
func (d *Driver) remove(ctx context.Context, step spec.Step) error {
	f, err := d.settleTree(step.Name, d.trees.Marks)
	if err != nil || f.rec == nil {
		return err
	}
	if err := checkMoved(step, f.rec); err != nil {
		return err
	}
	if f.alive || len(f.strays) > 0 {
		return fmt.Errorf("it is running: stop it first: %w", drivers.ErrMoved)
	}
	if f.rec.Instance != nil {
		if err := d.trees.Remove(f.rec.tree()); err != nil { // before the record: what is found without one is taken for a daemon whose record is lost
			return err
		}
	}
	if err := d.sockets.Release(ctx, step.Name); err != nil { // before the record, which is what they are known by
		return err
	}
	failpoint.Hit(failpoint.RemoveRecord)
	if err := d.store.remove(step.Name); err != nil {
		return err
	}
	d.strays.forgetInstance(f.rec.Instance)
	failpoint.Hit(failpoint.RecordRemoved)
	return nil
}

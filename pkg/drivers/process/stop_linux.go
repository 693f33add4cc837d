package process

import (
	"context"
	"errors"

	"reconciler.dev/reconciler/internal/failpoint"
	"reconciler.dev/reconciler/internal/pidfd"
	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// stop ends the whole tree of the daemon and records how its main process ended.
func (d *Driver) stop(ctx context.Context, step spec.Step) error {
	asked := d.asking.begin()
	defer asked()
	f, err := d.settleTree(step.Name, d.trees.Marks)
	if err != nil || !f.alive && len(f.strays) == 0 {
		return err
	}
	if err := checkMoved(step, f.rec); err != nil {
		return err
	}
	signal, err := drivers.Signal(step.Stop.Signal)
	if err != nil {
		return err
	}
	rec := *f.rec
	rec.Asked, rec.By, rec.Stamp = true, &d.self, takenOver(rec.Stamp, step)
	if err := d.store.write(&rec); err != nil {
		return err
	}
	failpoint.Hit(failpoint.StopIntended)
	_ = d.mendHolder(ctx, &rec) // where that can't be, its end closes its sockets, and the next start opens them
	main, err := d.watch.take(step.Name, rec.Instance)
	if err == nil {
		err = d.endTree(ctx, &ending{tree: rec.tree(), inst: rec.Instance, main: main, stop: step.Stop, signal: signal, asked: asked})
	}
	if err != nil {
		d.adopt(step.Name, rec.Instance, main)
		return errors.Join(err, d.leave(&rec))
	}
	failpoint.Hit(failpoint.StopGone)
	defer main.Close()
	return d.recordStop(&rec, main)
}

// takenOver is the stamp of a daemon that step may take from a run.
func takenOver(s *spec.Stamp, step spec.Step) *spec.Stamp {
	if step.Owner.TakenFrom == "" || s == nil {
		return s
	}
	c := *s
	c.Owner.TakenFrom = step.Owner.TakenFrom
	return &c
}

// leave records that nobody is stopping the daemon any more. That it was asked to end stays true.
func (d *Driver) leave(rec *record) error {
	next := *rec
	next.By = nil
	return d.store.write(&next)
}

// recordStop records the end of the instance, whose tree is gone.
func (d *Driver) recordStop(rec *record, main pidfd.FD) error {
	i, next := *rec.Instance, *rec
	if i.Exit == nil {
		if main == pidfd.None {
			i.Exit = d.howEnded(rec, true)
		} else {
			i.Exit = exitOf(main.Status(i.PID, false))
			d.noteOOM(rec, i.Exit)
		}
		i.Exit.Asked, next.Ended = true, procfs.SinceBoot()
	}
	next.Instance, next.Gone, next.By = &i, true, nil
	if err := d.store.write(&next); err != nil {
		return err
	}
	d.strays.forgetInstance(&i)
	failpoint.Hit(failpoint.StopRecorded)
	return d.trees.Remove(rec.tree())
}

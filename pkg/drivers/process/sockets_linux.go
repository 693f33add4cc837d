package process

import (
	"context"
	"errors"

	"reconciler.dev/reconciler/internal/failpoint"
	"reconciler.dev/reconciler/internal/pidfd"
	"reconciler.dev/reconciler/internal/sockets"
	"reconciler.dev/reconciler/internal/spawn"
	"reconciler.dev/reconciler/pkg/drivers"
)

// listen has the sockets of a daemon opened that aren't, and those closed that it hasn't any more, and hands them to the process to be. done closes our duplicates.
func (d *Driver) listen(ctx context.Context, name string, l *launch) (done func(), err error) {
	files, err := d.sockets.Take(ctx, name, l.sockets)
	if err != nil {
		return nil, drivers.ExplainSockets(err, l.sockets)
	}
	if len(files) > 0 {
		failpoint.Hit(failpoint.ListenOpened)
	}
	for i, f := range files {
		l.cmd.Listeners = append(l.cmd.Listeners, spawn.Listener{File: f, Name: l.sockets[i].Name()})
	}
	return func() {
		for _, f := range files {
			f.Close()
		}
	}, nil
}

// Listens tells whether there is a holder: see drivers.Listening.
func (d *Driver) Listens(context.Context, string) (bool, error) { return d.sockets.There() }

// Unlisten closes the sockets that are held for a daemon which doesn't run.
func (d *Driver) Unlisten(ctx context.Context, name string) error {
	if err := d.sockets.ReleaseFamily(ctx, name); err != nil {
		return err
	}
	failpoint.Hit(failpoint.ListenClosed)
	return nil
}

// holdOn sees to it that the sockets of a daemon that runs are held, also where the holder was killed: then another one gets them of the daemon.
func (d *Driver) holdOn(ctx context.Context, rec *record) error {
	if !rec.listens() {
		return nil
	}
	a, _, err := d.account(&rec.Stamp.Spec)
	if err != nil {
		return err
	}
	want, err := drivers.Sockets(&rec.Stamp.Spec, a)
	if err != nil {
		return err
	}
	if held, err := d.sockets.Holds(ctx, rec.Name, want); held || err != nil {
		return err
	}
	fd, err := pidfd.Open(rec.Instance.PID)
	if err != nil {
		return err
	}
	defer fd.Close()
	if live, err := same(fd, rec.Instance); !live || err != nil {
		return err
	}
	files, err := sockets.Of(fd, rec.Instance.PID, want)
	if err != nil {
		return err
	}
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	if err := d.sockets.Adopt(ctx, rec.Name, want, files); err != nil {
		return err
	}
	failpoint.Hit(failpoint.ListenRetaken)
	return nil
}

// mendHolder is holdOn for those who look after daemons: what ended meanwhile needs nothing.
func (d *Driver) mendHolder(ctx context.Context, rec *record) error {
	if err := d.holdOn(ctx, rec); err != nil && !errors.Is(err, pidfd.ErrGone) {
		return err
	}
	return nil
}

package process

import (
	"context"

	"reconciler.dev/reconciler/internal/spawn"
	"reconciler.dev/reconciler/pkg/drivers"
)

// listen has the sockets of a daemon opened that aren't, and those closed that it hasn't any more, and hands them to the process to be. done closes our duplicates.
func (d *Driver) listen(ctx context.Context, name string, l *launch) (done func(), err error) {
	files, err := d.sockets.Take(ctx, name, l.sockets)
	if err != nil {
		return nil, drivers.ExplainSockets(err, l.sockets)
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

// Unlisten closes the sockets that are held for a daemon which doesn't run.
func (d *Driver) Unlisten(ctx context.Context, name string) error {
	return d.sockets.ReleaseFamily(ctx, name)
}

package process

import (
	"context"
	"errors"
	"time"

	"reconciler.dev/reconciler/internal/pidfd"
	"reconciler.dev/reconciler/pkg/spec"
)

// holderName is what the process that holds sockets is called among those that are watched. It is no name of a daemon.
const holderName = "/sockets"

// holderPace is how long a holder is given before the next one takes its place: who kills each of them at once doesn't keep us busy.
const holderPace = time.Second

// keepHeld has the sockets of all daemons that run held, and the process watched that holds them.
func (d *Driver) keepHeld(ctx context.Context) error {
	const tries = 3 // one that ends before it is watched
	for range tries {
		some, err := d.mendHolders(ctx)
		if !some || err != nil {
			return err
		}
		if watched, err := d.watchHolder(ctx); watched || err != nil {
			return err
		}
	}
	return nil
}

// mendHolders is mendHolder for all daemons. It tells whether any that runs has sockets.
func (d *Driver) mendHolders(ctx context.Context) (some bool, err error) {
	names, err := d.store.names()
	errs := []error{err}
	for _, name := range names {
		rec, err := d.store.read(name)
		if err != nil || rec == nil || !rec.listens() || ctx.Err() != nil {
			continue // Observe says what is the matter with it
		}
		some = true
		errs = append(errs, d.mendHolder(ctx, rec))
	}
	return some, errors.Join(errs...)
}

// listens tells whether a daemon runs, as far as its record goes, and has sockets.
func (r *record) listens() bool {
	return r.Stamp != nil && len(r.Stamp.Spec.Listen) > 0 && r.Instance != nil && r.Instance.Exit == nil
}

// watchHolder watches the process that holds sockets, if anybody watches daemons. Not done says that there is none.
func (d *Driver) watchHolder(ctx context.Context) (done bool, err error) {
	if !d.watch.on() || d.watch.hasHolder() {
		return true, nil
	}
	fd, pid, err := d.sockets.Process(ctx)
	if err != nil || fd == pidfd.None {
		return false, err
	}
	d.adopt(holderName, &spec.Instance{PID: pid, StartedAt: time.Now()}, fd)
	return true, nil
}

func (w *watching) hasHolder() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.armed[holderName] != nil
}

// holderEnded has another process hold what the one that a watches held. What it can't do, the next start or Housekeep does, and that says why.
func (d *Driver) holderEnded(ctx context.Context, a *arm) {
	w := &d.watch
	w.mu.Lock()
	if w.armed[holderName] == a {
		w.drop(holderName)
	}
	w.mu.Unlock()
	if early := holderPace - time.Since(a.since); early > 0 {
		select {
		case <-time.After(early):
		case <-ctx.Done():
			return
		}
	}
	_ = d.keepHeld(ctx)
}

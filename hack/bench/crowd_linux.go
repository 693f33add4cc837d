package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/spec"
)

// crowd is hosts that a run keeps, with the very loop of reconciler run for each; what prints is all that differs.
type crowd struct {
	eyes  []*eye
	names [][]string // of the daemons of each
	end   func() error
}

// fixed is a source that never changes.
type fixed []*spec.Daemon

// Load returns them.
func (f fixed) Load(context.Context) ([]*spec.Daemon, error) { return f, nil }

// Watch is armed at once, and waits.
func (f fixed) Watch(ctx context.Context, changed func()) error {
	changed()
	<-ctx.Done()
	return ctx.Err()
}

// keep starts a run on each host, and returns when each has seen its daemons run.
func keep(ctx context.Context, hosts []drivers.Host, wants [][]*spec.Daemon) (*crowd, error) {
	running, stop := context.WithCancel(ctx)
	c := &crowd{}
	ended := make(chan error, len(hosts))
	c.end = sync.OnceValue(func() error {
		stop()
		var errs []error
		for range c.eyes {
			if err := <-ended; !errors.Is(err, context.Canceled) {
				errs = append(errs, err)
			}
		}
		return errors.Join(errs...)
	})
	var up []<-chan time.Time
	for i, h := range hosts {
		e := newEye(h)
		missing := map[sight]func(spec.Observed) bool{}
		var names []string
		for _, w := range wants[i] {
			names = append(names, w.Name)
			missing[sight{w.Spec.Driver, w.Name}] = func(o spec.Observed) bool { return o.State == spec.Running }
		}
		c.eyes, c.names = append(c.eyes, e), append(c.names, names)
		up = append(up, e.await(missing))
		holder := drivers.Holder{ID: "bench", Set: "default", Since: time.Now()}
		engine := reconcile.New(e, reconcile.Options{Owner: spec.Owner{Set: holder.Set, Holder: holder.ID}, Tool: "bench"})
		go func() {
			ended <- engine.Run(running, fixed(wants[i]), reconcile.RunOptions{Resync: time.Hour, Holder: holder})
		}()
	}
	for i := range up {
		if _, err := sees(ctx, up[i]); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", c.eyes[i].Name(), err), c.end())
		}
	}
	return c, nil
}

// pass has the runs of all hosts look at everything at the same time, and returns what that takes until the last has seen all.
func (c *crowd) pass(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	var all []<-chan time.Time
	for i, e := range c.eyes {
		seen, err := e.pass(c.names[i])
		if err != nil {
			return 0, err
		}
		all = append(all, seen)
	}
	var last time.Time
	for i, seen := range all {
		at, err := sees(ctx, seen)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", c.eyes[i].Name(), err)
		}
		if at.After(last) {
			last = at
		}
	}
	return last.Sub(began), nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// eye is a host as a run has it, with somebody who looks over the run's shoulder: it has the run look at everything, and knows when it has seen what.
type eye struct {
	drivers.Host
	all []drivers.Driver

	mu      sync.Mutex
	changed map[spec.DriverKind]func(name string) // what the run watches by
	awaited []*awaited
}

// awaited is what somebody waits for the run to see.
type awaited struct {
	missing map[sight]func(spec.Observed) bool
	seen    chan time.Time
}

// sight is a daemon in the eyes of one driver.
type sight struct {
	kind spec.DriverKind
	name string
}

func newEye(h drivers.Host) *eye {
	e := &eye{Host: h, changed: map[spec.DriverKind]func(string){}}
	for _, d := range h.Drivers() {
		e.all = append(e.all, &eyed{d, e})
	}
	return e
}

// Drivers returns those of the host.
func (e *eye) Drivers() []drivers.Driver { return slices.Clone(e.all) }

// Driver returns that of the host.
func (e *eye) Driver(kind spec.DriverKind) (drivers.Driver, error) {
	d, err := e.Host.Driver(kind)
	if err != nil {
		return nil, err
	}
	return e.all[slices.IndexFunc(e.all, func(a drivers.Driver) bool { return a.Kind() == d.Kind() })], nil
}

// eyed is one of its drivers.
type eyed struct {
	drivers.Driver
	e *eye
}

// Unwrap is for drivers.Find.
func (d *eyed) Unwrap() drivers.Driver { return d.Driver }

// Watch is that of the driver.
func (d *eyed) Watch(ctx context.Context, changed func(string)) error {
	d.e.mu.Lock()
	d.e.changed[d.Kind()] = changed
	d.e.mu.Unlock()
	return d.Driver.Watch(ctx, changed)
}

// Observe is that of the driver, and tells those who wait for what it comes to.
func (d *eyed) Observe(ctx context.Context, names ...string) ([]spec.Observed, error) {
	found, err := d.Driver.Observe(ctx, names...)
	now := time.Now()
	d.e.mu.Lock()
	defer d.e.mu.Unlock()
	d.e.awaited = slices.DeleteFunc(d.e.awaited, func(a *awaited) bool {
		for _, o := range found {
			s := sight{d.Kind(), o.Name}
			if is := a.missing[s]; is != nil && is(o) {
				delete(a.missing, s)
			}
		}
		if len(a.missing) == 0 {
			a.seen <- now
		}
		return len(a.missing) == 0
	})
	return found, err
}

// await returns a channel that gets the time at which the run has seen all of these.
func (e *eye) await(missing map[sight]func(spec.Observed) bool) <-chan time.Time {
	a := &awaited{missing: missing, seen: make(chan time.Time, 1)}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.awaited = append(e.awaited, a)
	return a.seen
}

// pass has the run look at everything, and returns a channel that gets the time at which every driver has looked at all of names.
func (e *eye) pass(names []string) (<-chan time.Time, error) {
	missing := map[sight]func(spec.Observed) bool{}
	for _, d := range e.all {
		for _, n := range names {
			missing[sight{d.Kind(), n}] = func(spec.Observed) bool { return true }
		}
	}
	e.mu.Lock()
	missed := e.changed[e.all[0].Kind()]
	e.mu.Unlock()
	if missed == nil {
		return nil, fmt.Errorf("have a run look at %s: it doesn't watch it", e.Name())
	}
	seen := e.await(missing)
	missed("") // something may have been missed: look at everything
	return seen, nil
}

// sees waits for a time that await or pass promised.
func sees(ctx context.Context, seen <-chan time.Time) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	select {
	case at := <-seen:
		return at, nil
	case <-ctx.Done():
		return time.Time{}, errors.New("a run hasn't seen within a minute what there is to see")
	}
}

package driverstest

import (
	"context"
	"strings"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// Rename gives every daemon of d the name that it has for others with prefix before it, so that those of a case, which has d and the prefix to itself, have names of their own on a machine
// that it shares. d has to be a drivers.Checker.
func Rename[D interface {
	drivers.Driver
	drivers.Checker
}](d D, prefix string) drivers.Driver {
	r := &renamed{d, d, prefix}
	if p, ok := drivers.Find[drivers.Placer](d); ok {
		return &renamedPlacer{r, p}
	}
	return r
}

type renamed struct {
	d      drivers.Driver
	c      drivers.Checker
	prefix string
}

func (r *renamed) Kind() spec.DriverKind { return r.d.Kind() }

func (r *renamed) List(ctx context.Context) (names []string, err error) {
	all, err := r.d.List(ctx)
	for _, name := range all {
		if own, ok := strings.CutPrefix(name, r.prefix); ok {
			names = append(names, own)
		}
	}
	return names, err
}

func (r *renamed) Observe(ctx context.Context, names ...string) ([]spec.Observed, error) {
	theirs := make([]string, len(names))
	for i, name := range names {
		theirs[i] = r.prefix + name
	}
	found, err := r.d.Observe(ctx, theirs...)
	for i := range found {
		found[i].Name = strings.TrimPrefix(found[i].Name, r.prefix)
		if s := found[i].Stamp; s != nil {
			c := *s
			c.Name = strings.TrimPrefix(c.Name, r.prefix)
			found[i].Stamp = &c
		}
	}
	return found, err
}

func (r *renamed) daemon(d *spec.Daemon) *spec.Daemon {
	c := *d
	c.Name = r.prefix + c.Name
	if g := c.Spec.Cgroup; g != nil && g.Service+g.Instance != "" {
		own := *g
		own.Service = r.prefix + own.Service
		c.Spec.Cgroup = &own
	}
	return &c
}

func (r *renamed) Apply(ctx context.Context, s spec.Step) error {
	s.Name = r.prefix + s.Name
	if s.Want != nil {
		s.Want = r.daemon(s.Want)
	}
	return r.say(r.d.Apply(ctx, s))
}

func (r *renamed) Check(ctx context.Context, d *spec.Daemon) ([]spec.Loss, error) {
	lost, err := r.c.Check(ctx, r.daemon(d))
	return lost, r.say(err)
}

func (r *renamed) Watch(ctx context.Context, changed func(string)) error {
	return r.d.Watch(ctx, func(name string) {
		if own, ok := strings.CutPrefix(name, r.prefix); ok || name == "" {
			changed(own)
		}
	})
}

// Listens is the driver's, if it has one.
func (r *renamed) Listens(ctx context.Context, name string) (bool, error) {
	l, ok := r.d.(drivers.Listening)
	if !ok {
		return false, nil
	}
	some, err := l.Listens(ctx, r.prefix+name)
	return some, r.say(err)
}

// Unlisten is the driver's, if it has one.
func (r *renamed) Unlisten(ctx context.Context, name string) error {
	l, ok := r.d.(drivers.Listening)
	if !ok {
		return nil
	}
	return r.say(l.Unlisten(ctx, r.prefix+name))
}

// say takes the prefix out of what an error says.
func (r *renamed) say(err error) error {
	if err == nil {
		return nil
	}
	return renamedError{err, strings.ReplaceAll(err.Error(), r.prefix, "")}
}

type renamedError struct {
	error
	text string
}

func (e renamedError) Error() string { return e.text }
func (e renamedError) Unwrap() error { return e.error }

// renamedPlacer is renamed for a driver that is a Placer.
type renamedPlacer struct {
	*renamed
	p drivers.Placer
}

func (r *renamedPlacer) Places(ctx context.Context, names ...string) (places []drivers.Place, err error) {
	theirs := make([]string, len(names))
	for i, name := range names {
		theirs[i] = r.prefix + name
	}
	all, err := r.p.Places(ctx, theirs...)
	for _, place := range all {
		if own, ok := strings.CutPrefix(place.Name, r.prefix); ok {
			place.Name = own
			places = append(places, place)
		}
	}
	return places, err
}

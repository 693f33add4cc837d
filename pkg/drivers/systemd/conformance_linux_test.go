package systemd

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
	"reconciler.dev/reconciler/test/labhost"
)

// TestConformance: the system manager as root, and the user's own as a user who lingers, keep every promise of pkg/drivers.
func TestConformance(t *testing.T) {
	for _, kind := range []labhost.Kind{labhost.Systemd, labhost.SystemdUser} {
		t.Run(string(kind), func(t *testing.T) {
			labhost.Test(t, kind, func(t *testing.T) { driverstest.Run(t, subject) })
		})
	}
}

// cases counts the cases on a host: all have the same manager, and names of their own there.
var cases atomic.Int64

func subject(t *testing.T) driverstest.Subject {
	dirs := layout.Under(t.TempDir())
	if err := dirs.Make(); err != nil {
		t.Fatal(err)
	}
	prefix := fmt.Sprintf("c%d-", cases.Add(1))
	open := func() drivers.Driver {
		d := newDriver(t, dirs)
		return drivers.Decorate(&renamed{d, prefix}, dirs)
	}
	one := newDriver(t, dirs)
	have, err := one.controllers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return driverstest.Subject{
		Driver: open(), Reopen: open, Dirs: []string{dirs.State, dirs.Run, dirs.Log},
		Supervises: true, EndsWithMain: true, Enforces: enforced(have),
		Foreign: func(name string) error {
			if err := os.MkdirAll(one.scope.units, 0o755); err != nil {
				return err
			}
			return os.WriteFile(one.scope.file(prefix+name+".service"), []byte("[Service]\nExecStart=/bin/true\n"), 0o644)
		},
	}
}

// newDriver is a driver over dirs, as another process would have one.
func newDriver(t testing.TB, dirs layout.Dirs) *Driver {
	t.Helper()
	d, err := New(Options{Dirs: dirs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// enforced are the limits that a manager with these controllers can enforce.
func enforced(controllers []string) (fields []string) {
	for _, f := range (Limits{}).Files(os.Getpagesize()) {
		if slices.Contains(controllers, f.Controller) {
			fields = append(fields, f.Field)
		}
	}
	return fields
}

// renamed gives every daemon of a case a name that no other case has.
type renamed struct {
	d      *Driver
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
	lost, err := r.d.Check(ctx, r.daemon(d))
	return lost, r.say(err)
}

func (r *renamed) Watch(ctx context.Context, changed func(string)) error {
	return r.d.Watch(ctx, func(name string) {
		if own, ok := strings.CutPrefix(name, r.prefix); ok || name == "" {
			changed(own)
		}
	})
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

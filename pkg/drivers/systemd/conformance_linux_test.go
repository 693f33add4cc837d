package systemd

import (
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"testing"

	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/test/labhost"
)

// TestConformance: the system manager as root, and the user's own as a user who lingers, keep every promise of pkg/drivers.
func TestConformance(t *testing.T) {
	for _, kind := range []labhost.Kind{labhost.Systemd, labhost.SystemdNext, labhost.SystemdUser} {
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
		return drivers.Decorate(driverstest.Rename(d, prefix), dirs)
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

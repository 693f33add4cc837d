package process

import (
	"testing"

	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/test/labhost"
)

func TestConformance(t *testing.T) { conformance(t) }

// TestConformanceOnHosts: where there is nothing but processes, and where systemd reaps what daemons leave, as root and as a user of it.
func TestConformanceOnHosts(t *testing.T) {
	for _, kind := range []labhost.Kind{labhost.Bare, labhost.Systemd, labhost.SystemdUser} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			labhost.Test(t, kind, conformance)
		})
	}
}

func conformance(t *testing.T) {
	driverstest.Run(t, func(t *testing.T) driverstest.Subject {
		dirs := layout.Under(t.TempDir())
		if err := dirs.Make(); err != nil {
			t.Fatal(err)
		}
		open := func() drivers.Driver { return drivers.Decorate(newDriver(t, dirs), dirs) }
		return driverstest.Subject{Driver: open(), Reopen: open, Dirs: []string{dirs.State, dirs.Run, dirs.Log}}
	})
}

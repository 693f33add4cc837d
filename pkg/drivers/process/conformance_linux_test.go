package process

import (
	"testing"

	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
)

func TestConformance(t *testing.T) {
	driverstest.Run(t, func(t *testing.T) driverstest.Subject {
		dirs := layout.Under(t.TempDir())
		if err := dirs.Make(); err != nil {
			t.Fatal(err)
		}
		open := func() drivers.Driver { return drivers.Decorate(newDriver(t, dirs), dirs) }
		return driverstest.Subject{Driver: open(), Reopen: open, Dirs: []string{dirs.State, dirs.Run, dirs.Log}}
	})
}

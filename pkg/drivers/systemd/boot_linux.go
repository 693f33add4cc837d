package systemd

import (
	"context"
	"fmt"
	"path/filepath"

	"reconciler.dev/reconciler/internal/atomicfile"
)

// AtBoot enables or disables the daemon's unit: see drivers.Booter.
func (d *Driver) AtBoot(_ context.Context, name string, start bool) error {
	finds, err := d.locate([]string{name})
	switch f := finds[0]; {
	case err != nil:
		return fmt.Errorf("look at unit files: %w", err)
	case !f.ours() || f.lost != "":
		return nil
	case start:
		return d.enable(f.unit)
	default:
		if err := atomicfile.Remove(filepath.Join(d.scope.wants, f.unit), atomicfile.Durable); err != nil {
			return fmt.Errorf("disable unit %s: %w", f.unit, err)
		}
		return nil
	}
}

//go:build !linux

package process

import (
	"fmt"

	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// Left returns nothing: nothing was ever started here.
func Left(layout.Dirs, spec.DriverKind) ([]string, error) { return nil, nil }

// New returns an error that wraps ErrUnsupported: what this driver knows a process by exists on Linux only.
func New(Options) (drivers.Driver, error) {
	return nil, fmt.Errorf("set up the process driver: it needs Linux: %w", drivers.ErrUnsupported)
}

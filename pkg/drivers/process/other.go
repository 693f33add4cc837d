//go:build !linux

package process

import (
	"fmt"

	"reconciler.dev/reconciler/pkg/drivers"
)

// New returns an error that wraps ErrUnsupported: what this driver knows a process by exists on Linux only.
func New(Options) (drivers.Driver, error) {
	return nil, fmt.Errorf("set up the process driver: it needs Linux: %w", drivers.ErrUnsupported)
}

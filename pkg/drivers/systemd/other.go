//go:build !linux

package systemd

import (
	"fmt"

	"reconciler.dev/reconciler/pkg/drivers"
)

// New returns an error that wraps ErrUnsupported: systemd is on Linux only.
func New(Options) (drivers.Driver, error) {
	return nil, fmt.Errorf("set up the systemd driver: it needs Linux: %w", drivers.ErrUnsupported)
}

//go:build !linux

package systemd

import (
	"context"
	"fmt"

	"reconciler.dev/reconciler/pkg/drivers"
)

// New returns an error that wraps ErrUnsupported: systemd is on Linux only.
func New(Options) (drivers.Driver, error) {
	return nil, fmt.Errorf("set up the systemd driver: it needs Linux: %w", drivers.ErrUnsupported)
}

// InstallService returns an error that wraps ErrUnsupported, as New does.
func InstallService(context.Context, Options, Service) (Installed, error) {
	return Installed{}, fmt.Errorf("install %s: it needs systemd: %w", ServiceName, drivers.ErrUnsupported)
}

// ServiceText is the text of a unit that can't be installed here.
func ServiceText(_ context.Context, _ Options, s Service) ([]byte, error) { return s.Text() }

// RemoveService returns an error that wraps ErrUnsupported, as New does.
func RemoveService(context.Context, Options) (bool, error) {
	return false, fmt.Errorf("remove %s: it needs systemd: %w", ServiceName, drivers.ErrUnsupported)
}

// Left returns nothing: nothing was ever started here.
func Left() ([]string, error) { return nil, nil }

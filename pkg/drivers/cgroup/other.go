//go:build !linux

package cgroup

import (
	"fmt"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// New returns an error that wraps ErrUnsupported: only Linux has cgroups.
func New(Options) (drivers.Driver, error) {
	return nil, fmt.Errorf("set up the cgroup driver: %w", &drivers.Unavailable{Kind: spec.DriverCgroup, Reason: "only Linux has cgroups"})
}

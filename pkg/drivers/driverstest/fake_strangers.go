package driverstest

import (
	"context"
	"fmt"
	"slices"

	"reconciler.dev/reconciler/pkg/drivers"
)

var _ drivers.Surveyor = (*Fake)(nil)

// Neighbours sets what Strangers finds. Before, the machine has no cgroups, so that nothing can be told.
func (f *Fake) Neighbours(all ...drivers.Stranger) {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	f.w.strangers = append([]drivers.Stranger{}, all...)
}

// Strangers returns what Neighbours said.
func (f *Fake) Strangers(context.Context) ([]drivers.Stranger, error) {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	if f.w.strangers == nil {
		return nil, fmt.Errorf("the simulated machine has no cgroups: %w", drivers.ErrUnsupported)
	}
	return slices.Clone(f.w.strangers), nil
}

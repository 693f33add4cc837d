package process

import (
	"context"
	"fmt"

	"reconciler.dev/reconciler/pkg/drivers"
)

// surveyor are Trees that have places, where others may be as well.
type surveyor interface {
	Strangers() ([]drivers.Stranger, error)
}

// Strangers asks the trees. Those without places have no neighbours.
func (d *Driver) Strangers(context.Context) ([]drivers.Stranger, error) {
	if s, ok := d.trees.(surveyor); ok {
		return s.Strangers()
	}
	return nil, fmt.Errorf("the %s driver puts daemons into no cgroups, so nothing tells who is beside them: %w", d.Kind(), drivers.ErrUnsupported)
}

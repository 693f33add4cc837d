package drivers

import (
	"context"
	"fmt"

	"reconciler.dev/reconciler/pkg/spec"
)

// Keeping returns d for a host that can't carry it any more: it still looks at, stops and removes what it has, so that nothing of it is taken for absent and started
// a second time elsewhere, and it starts nothing, because of why.
func Keeping(d Driver, why *Unavailable) Driver { return &keeping{d, why} }

type keeping struct {
	Driver
	why *Unavailable
}

func (k *keeping) Unwrap() Driver { return k.Driver }

func (k *keeping) Apply(ctx context.Context, step spec.Step) error {
	if step.Verb == spec.VerbStart {
		return fmt.Errorf("start daemon %s: %w", step.Name, k.why)
	}
	return k.Driver.Apply(ctx, step)
}

// Check refuses every daemon.
func (k *keeping) Check(context.Context, *spec.Daemon) ([]spec.Loss, error) { return nil, k.why }

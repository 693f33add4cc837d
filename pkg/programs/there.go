package programs

import (
	"context"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// There is Find for a host that is reached: it makes there what is to be built there.
func (r *Round) There(ctx context.Context, h drivers.Host, m *spec.Manifest, dir string) (*spec.Program, error) {
	return r.Find(ctx, "", m, dir)
}

func (r *Round) elsewhere(ctx context.Context, m *spec.Manifest, dir string) (*spec.Program, error) {
	return r.Find(ctx, "", m, dir)
}

// BuildThere is Build on a host that is reached.
func (r *Round) BuildThere(ctx context.Context, h drivers.Host, m *spec.Manifest, dir string) Result {
	return r.Build(ctx, m, dir)
}

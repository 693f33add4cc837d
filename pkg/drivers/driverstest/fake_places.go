package driverstest

import (
	"context"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// Places looks at daemons as Observe does.
func (f *Fake) Places(ctx context.Context, names ...string) ([]drivers.Place, error) {
	if len(names) == 0 {
		var err error
		if names, err = f.List(ctx); err != nil {
			return nil, err
		}
	}
	found, err := f.Observe(ctx, names...)
	if err != nil {
		return nil, err
	}
	places := make([]drivers.Place, len(found))
	for i, o := range found {
		p := &places[i]
		p.Name, p.State, p.Message = o.Name, o.State, o.Message
		if o.Instance == nil || o.Instance.Exit != nil {
			continue
		}
		p.State, p.Instance, p.Cgroup = spec.Running, o.Instance.ID, o.Cgroup
		f.w.do(func() {
			if d := f.w.daemons[o.Name]; d != nil && d.run != nil {
				for _, proc := range d.run.procs {
					p.PIDs = append(p.PIDs, proc.PID)
				}
			}
		})
	}
	return places, nil
}

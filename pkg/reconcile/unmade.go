package reconcile

import (
	"errors"
	"fmt"

	"reconciler.dev/reconciler/pkg/spec"
)

// unmade says why the program of a daemon can't be made; nil where it can.
func unmade(d *spec.Daemon) error {
	if d == nil || d.Program == nil {
		return nil
	}
	return d.Program.Failed
}

// unmadeOf says of which daemons the programs can't be made, and why; nil where all can.
func unmadeOf(ds []*spec.Daemon) error {
	var errs []error
	for _, d := range ds {
		if err := unmade(d); err != nil {
			errs = append(errs, fmt.Errorf("daemon %s stays as it is, because its program can't be made: %w", d.Name, err))
		}
	}
	return errors.Join(errs...)
}

// lastMade keeps what daemons were to be before their programs couldn't be made any more: they stay that, whatever else of their manifests changes meanwhile.
type lastMade map[string]*spec.Daemon

// instead returns ds with those in the place of daemons of which the program can't be made, as far as they are known, and remembers the others.
func (l *lastMade) instead(ds []*spec.Daemon) []*spec.Daemon {
	now, out := make(lastMade, len(ds)), make([]*spec.Daemon, len(ds))
	for i, d := range ds {
		if last := (*l)[d.Name]; unmade(d) != nil && last != nil {
			d = last
		}
		if out[i] = d; unmade(d) == nil {
			now[d.Name] = d
		}
	}
	*l = now
	return out
}

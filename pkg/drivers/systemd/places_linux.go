package systemd

import (
	"context"
	"fmt"
	"path/filepath"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// Places reads unit files, and which invocations systemd says that there are, in /run/systemd/units. It doesn't ask the manager for units.
func (d *Driver) Places(ctx context.Context, names ...string) ([]drivers.Place, error) {
	finds, err := d.placed(ctx, names)
	if err != nil {
		return nil, fmt.Errorf("look where daemons are: %w", err)
	}
	mount := d.cgroupMount()
	places := make([]drivers.Place, len(finds))
	for i, f := range finds {
		p := drivers.Place{Name: f.name, State: spec.Absent}
		switch id := d.invocation(f.unit); {
		case f.file.err != nil:
			p.State, p.Message = spec.Unknown, fmt.Sprintf("read unit file %s: %v", d.scope.file(f.unit), f.file.err)
		case f.ours() && id == "":
			p.State = spec.Exited
		case f.ours():
			path, err := d.cgroupOf(ctx, f.unit, &f.stamp().Spec)
			switch {
			case err != nil:
				p.State, p.Message = spec.Unknown, err.Error()
			case mount == "":
				p.State, p.Message = spec.Unknown, "cgroup v2 isn't mounted on this machine, so nothing tells which processes are the unit's"
			default:
				p.State, p.Instance, p.Cgroup, p.Dir = spec.Running, id, path, filepath.Join(mount, path)
			}
		}
		places[i] = p
	}
	return places, ctx.Err()
}

// placed finds the units of names, or of all daemons.
func (d *Driver) placed(ctx context.Context, names []string) ([]*finding, error) {
	if len(names) > 0 {
		return d.locate(names)
	}
	found, err := d.units.scan(nil)
	if err != nil {
		return nil, err
	}
	finds := make([]*finding, 0, len(found))
	seen := make(map[string]bool, len(found))
	for _, f := range found {
		finds = append(finds, &finding{name: f.name(), unit: f.unit, file: f})
		seen[f.name()] = true
	}
	noted, err := d.notes.names()
	if err != nil {
		return nil, err
	}
	for _, name := range noted {
		if seen[name] {
			continue
		}
		f := &finding{name: name, file: &unitFile{}, note: d.notes.read(name)}
		if f.note != nil {
			if d.vouch(f); f.ours() {
				finds = append(finds, f)
			}
		}
	}
	return finds, nil
}

package systemd

import (
	"os"
	"path/filepath"

	"reconciler.dev/reconciler/pkg/drivers"
)

// locate finds the unit file of each daemon: that of its own name, or any that carries its stamp.
func (d *Driver) locate(names []string) ([]*finding, error) {
	finds := make([]*finding, len(names))
	drivers.Side(len(names), func(i int) { finds[i] = d.locateNear(names[i], "") })
	var all map[string]*unitFile // by the daemon's name; read once it is needed
	for _, f := range finds {
		if f.ours() {
			continue
		}
		if all == nil {
			var err error
			if all, err = d.byName(finds); err != nil {
				return nil, err
			}
		}
		if other := all[f.name]; other != nil {
			f.unit, f.file = other.unit, other
		} else if f.note != nil {
			d.vouch(f)
		}
	}
	return finds, nil
}

// locateNear looks for the unit file of a daemon in the places where it may be expected: under the daemon's name, where it was last, and in one more.
func (d *Driver) locateNear(name, also string) *finding {
	f := &finding{name: name, unit: name + ".service", note: d.notes.read(name)}
	own := d.units.read(f.unit)
	if own.stamp != nil && own.stamp.Name != name { // another daemon's
		own = &unitFile{unit: f.unit, text: own.text}
	}
	if f.file = own; f.ours() || own.err != nil {
		return f
	}
	places := []string{also}
	if f.note != nil {
		places = append(places, f.note.Unit)
	}
	for _, unit := range places {
		if unit == "" || unit == f.unit {
			continue
		}
		if other := d.units.read(unit); other.stamp != nil && other.stamp.Name == name {
			f.unit, f.file = unit, other
			return f
		}
	}
	return f
}

// byName are the unit files that carry our stamp, by the daemon's name. Those of finds aren't looked at again.
func (d *Driver) byName(finds []*finding) (map[string]*unitFile, error) {
	seen := make(map[string]*unitFile, len(finds))
	for _, f := range finds {
		if f.ours() {
			seen[f.unit] = f.file
		}
	}
	found, err := d.units.scan(seen)
	if err != nil {
		return nil, err
	}
	all := make(map[string]*unitFile, len(found))
	for _, f := range found {
		if f.stamp != nil {
			all[f.stamp.Name] = f
		}
	}
	return all, nil
}

// vouch finds the unit file as we wrote it of a daemon whose own is masked or damaged, or gone while the instance that we noted runs.
func (d *Driver) vouch(f *finding) {
	n := f.note
	have := d.units.read(n.Unit)
	lost := "removed"
	switch {
	case have.masked:
		lost = "masked"
	case have.err != nil && have.text != nil:
		lost = "damaged: " + have.err.Error()
	case have.there() || n.Instance == nil || n.Instance.Exit != nil || d.invocation(n.Unit) != n.Instance.ID:
		return
	}
	text := d.notes.kept(f.name)
	if stamp, err := ParseStamp(text); err == nil && stamp != nil && stamp.Name == f.name {
		f.unit, f.lost, f.file = n.Unit, lost, &unitFile{unit: n.Unit, text: text, stamp: stamp, intact: true}
	}
}

// invocation is the id of the invocation of a unit that runs, empty where it doesn't.
func (d *Driver) invocation(unit string) string {
	id, err := os.Readlink(filepath.Join(d.scope.exported, "invocation:"+unit))
	if err != nil {
		return ""
	}
	return id
}

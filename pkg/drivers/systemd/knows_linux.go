package systemd

import (
	"context"
	"fmt"

	"reconciler.dev/reconciler/pkg/spec"
)

// Knows tells whether there are unit files of daemons or notes of them. The unit of the second copy of a daemon always has the copy's name, so no other is looked for; and of many of
// those, only what is in the directories at all.
func (d *Driver) Knows(_ context.Context, names ...string) ([]bool, error) {
	known, may := make([]bool, len(names)), d.maybeThere(len(names))
	var first []string
	var at []int
	for i, name := range names {
		if _, slot := spec.LogicalName(name); slot == 0 {
			first, at = append(first, name), append(at, i)
		} else if may(name) {
			f := d.locateNear(name, "")
			known[i] = f.note != nil || f.file.there()
		}
	}
	finds, err := d.locate(first)
	if err != nil {
		return nil, fmt.Errorf("look at unit files: %w", err)
	}
	for k, f := range finds {
		known[at[k]] = f.ours() || f.note != nil
	}
	return known, nil
}

// maybeThere tells whether there may be a unit file or a note of a daemon, for a look at n of them: where these are many, two lists cost less than two looks for each.
func (d *Driver) maybeThere(n int) func(name string) bool {
	any := func(string) bool { return true }
	if n <= few {
		return any
	}
	units, err := d.listings.names(d.scope.units)
	notes, err2 := d.listings.names(d.notes.dir)
	if err != nil || err2 != nil {
		return any // whoever looks for each says what is the matter
	}
	return func(name string) bool { return units[name+".service"] || notes[name+".json"] }
}

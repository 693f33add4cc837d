package process

// marks is Trees.Marks, asked once for all the names of a call.
type marks = func() (map[string]string, error)

// noMarks is for those who need not know of instances without a record.
func noMarks() (map[string]string, error) { return nil, nil }

// read returns the record of a daemon, nil where there is none. Where the record is lost and the place of an instance is there, it is made again of what that says, as the
// record of a start that was cut off after the fork: whoever looks at such a one finds the process, if there is one.
func (d *Driver) read(name string, marks marks) (*record, error) {
	rec, err := d.store.read(name)
	if rec != nil || err != nil {
		return rec, err
	}
	known, err := marks()
	if err != nil || known[name] == "" {
		return nil, err
	}
	m, err := d.trees.Mark(known[name]) // as it is now
	if err != nil {
		return nil, err
	}
	rec, err = d.store.read(name)
	if rec != nil || err != nil || m == nil || m.Stamp.Name != name {
		return rec, err // a record comes before its place, and goes after it
	}
	return &record{Name: name, By: &actor{BootID: d.self.BootID}, Intent: &intent{Stamp: m.Stamp, Instance: m.Instance, Place: m.Place}}, nil
}

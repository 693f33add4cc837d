package process

import (
	"context"
	"fmt"
	"sync"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// Places reads the records, and looks where the trees are of the instances that haven't ended. It records nothing.
func (d *Driver) Places(ctx context.Context, names ...string) ([]drivers.Place, error) {
	recorded, marks := d.recorded(len(names)), sync.OnceValues(d.trees.Marks)
	if len(names) == 0 {
		var err error
		if names, err = d.placed(ctx); err != nil {
			return nil, err
		}
		recorded = func(string) bool { return true }
	}
	places := make([]drivers.Place, len(names))
	var trees []Tree
	var of []int // the places of the trees
	for i, name := range names {
		p := &places[i]
		p.Name, p.State = name, spec.Absent
		if !recorded(name) {
			if known, err := marks(); err == nil && known[name] == "" {
				continue
			}
		}
		rec, err := d.read(name, marks)
		switch {
		case err != nil:
			p.State, p.Message = spec.Unknown, err.Error()
		case rec != nil:
			p.State = spec.Exited
			if t, runs := d.runs(rec); runs {
				trees, of = append(trees, t), append(of, i)
			}
		}
	}
	spots, err := d.trees.Spots(trees)
	if err != nil {
		return nil, fmt.Errorf("look where daemons are: %w", err)
	}
	for k, s := range spots {
		p := &places[of[k]]
		switch {
		case s.Err != nil:
			p.State, p.Message = spec.Unknown, s.Err.Error()
		case s.Dir != "" || len(s.PIDs) > 0:
			p.State, p.Instance, p.Cgroup, p.Dir, p.PIDs = spec.Running, trees[k].ID, s.Cgroup, s.Dir, s.PIDs
		}
	}
	return places, ctx.Err()
}

// listPause is how long it may take until one is found whose record was lost: to look for those costs as much as all else.
const listPause = 5 * time.Second

// placed is List, but for that.
func (d *Driver) placed(ctx context.Context) ([]string, error) {
	if last := d.listed.Load(); last != nil && time.Since(*last) < listPause {
		return d.store.names()
	}
	names, err := d.List(ctx)
	recorded, err2 := d.store.names()
	if err == nil && err2 == nil && len(names) == len(recorded) {
		now := time.Now()
		d.listed.Store(&now)
	}
	return names, err
}

// runs is the tree of the instance that runs as far as the record says.
func (d *Driver) runs(rec *record) (Tree, bool) {
	switch in := rec.Intent; {
	case in != nil && rec.By != nil && rec.By.BootID == d.self.BootID:
		return in.tree(), true
	case rec.Instance != nil && rec.Instance.Exit == nil && rec.Instance.BootID == d.self.BootID:
		return rec.tree(), true
	}
	return Tree{}, false
}

package process

import (
	"errors"
	"fmt"
	"slices"

	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/pkg/spec"
)

// tags are trees that are held by nothing but the tag of their processes: they have no place and no limits.
type tags struct {
	scans procfs.Scanner
}

// Kind is process.
func (*tags) Kind() spec.DriverKind { return spec.DriverProcess }

// Certain is false: any process may give itself a tag.
func (*tags) Certain() bool { return false }

// Lost lists all of what a manifest may ask of a cgroup.
func (*tags) Lost(_ string, s *spec.Spec) (lost []spec.Loss) {
	c := s.Cgroup
	if c == nil {
		return nil
	}
	lose := func(asked bool, field, what string) {
		if asked {
			lost = append(lost, spec.Loss{Field: field, Reason: what + "; the drivers systemd and cgroup can"})
		}
	}
	lose(c.CPULimit != 0, "spec.cgroup.cpuLimit", "the process driver can't limit CPU time")
	lose(c.MemoryLimit != 0 && c.MemoryLimit != spec.Unlimited, "spec.cgroup.memoryLimit", "the process driver can't limit memory")
	lose(c.MemoryHigh != 0 && c.MemoryHigh != spec.Unlimited, "spec.cgroup.memoryHigh", "the process driver can't slow a daemon down for its memory")
	lose(c.PidsLimit != 0, "spec.cgroup.pidsLimit", "the process driver can't limit the number of a daemon's processes")
	lose(c.CPUWeight != 0, "spec.cgroup.cpuWeight", "the process driver can't weigh CPU time")
	lose(c.IOWeight != 0, "spec.cgroup.ioWeight", "the process driver can't weigh IO")
	lose(c.Slice != "" || c.Service != "" || c.Instance != "", "spec.cgroup.slice", "the process driver puts daemons into no cgroup")
	return lost
}

// Place is nowhere.
func (*tags) Place(string, *spec.Spec) (string, error) { return "", nil }

// Make has nothing to do: the tag comes with the fork.
func (*tags) Make(Tree, *Mark) (into int, done func(), err error) { return 0, func() {}, nil }

// maxScans bounds how often a tree is looked for that seems to be gone, and to leave somebody behind each time.
const maxScans = 1000

// Living finds the tree by a look at all processes. It returns none only where that found none but those that had ended before it: one that ends after it was seen may
// have left a child.
func (ts *tags) Living(t Tree, dead ...Process) ([]procfs.Stat, error) {
	for range maxScans {
		members, sure, err := ts.scans.Members(tagOf(t.ID))
		if err != nil {
			return nil, err
		}
		var living []procfs.Stat
		for _, pid := range members {
			st, err := procfs.ReadStat(pid)
			switch who := (Process{pid, st.Start}); {
			case errors.Is(err, procfs.ErrGone):
				sure = false
			case err != nil:
				return nil, err
			case st.Dead() && !slices.Contains(dead, who):
				sure = false
				dead = append(slices.Clip(dead), who)
			case !st.Dead():
				living = append(living, st)
			}
		}
		if len(living) > 0 || sure {
			return living, nil
		}
	}
	return nil, fmt.Errorf("look for the processes with tag %s: processes come and go too fast to find them all", t.ID)
}

// Spots looks at all processes once.
func (ts *tags) Spots(all []Tree) ([]Spot, error) {
	members, err := ts.scans.All()
	if err != nil {
		return nil, err
	}
	spots := make([]Spot, len(all))
	for i, t := range all {
		spots[i].PIDs = slices.Clone(members[tagOf(t.ID)])
	}
	return spots, nil
}

// Has reads the tag.
func (*tags) Has(t Tree, pid int) (bool, error) {
	now, err := procfs.ReadTag(pid)
	return err == nil && now == tagOf(t.ID), err
}

// Kill can't: whoever is just being made would be missed.
func (*tags) Kill(Tree) error { return nil }

// Remove has nothing to do.
func (*tags) Remove(Tree) error { return nil }

// OOMKilled isn't known.
func (*tags) OOMKilled(Tree) bool { return false }

// Limit has nothing to do.
func (*tags) Limit(Tree, *Mark) error { return nil }

// Look sees what is lost.
func (ts *tags) Look(t Tree, s *spec.Spec, o *spec.Observed) error {
	o.Lost = append(o.Lost, ts.Lost(t.Name, s)...)
	return nil
}

// Marks finds none: a tag says nothing but that it is the same.
func (*tags) Marks() (map[string]string, error) { return nil, nil }

// Mark finds none.
func (*tags) Mark(string) (*Mark, error) { return nil, nil }

// WhenEmpty can't tell.
func (*tags) WhenEmpty(Tree, func()) (cancel func(), err error) { return nil, nil }

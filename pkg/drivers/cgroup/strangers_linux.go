package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/pkg/drivers"
)

// Strangers walks through our slices and returns the groups with processes that no leaf of ours holds.
func (ts *trees) Strangers() ([]drivers.Stranger, error) {
	if ts.none != nil {
		return nil, ts.none
	}
	names, err := subgroups(ts.sub.dir(ts.sub.rel))
	if err != nil {
		return nil, fmt.Errorf("look for what isn't ours in the cgroups of %s: %w", ts.sub.dir(ts.sub.rel), err)
	}
	var all []drivers.Stranger
	for _, name := range names {
		place := path.Join(ts.sub.rel, name)
		if !isSlice(name) || name != defaultSlice && !ts.madeByUs(place) {
			continue
		}
		if all, err = ts.strangersIn(place, maxDepth, all); err != nil {
			return nil, fmt.Errorf("look for what isn't ours in cgroup %s: %w", ts.sub.dir(place), err)
		}
	}
	return all, nil
}

// madeByUs tells whether a group was made for leaves of this reconciler.
func (ts *trees) madeByUs(place string) bool {
	buf := make([]byte, 4<<10)
	n, err := unix.Getxattr(ts.sub.dir(place), attrParent, buf)
	return err == nil && string(buf[:n]) == ts.run
}

// strangersIn adds those in a group and below it.
func (ts *trees) strangersIn(place string, depth int, all []drivers.Stranger) ([]drivers.Stranger, error) {
	dir := ts.sub.dir(place)
	s := drivers.Stranger{Kind: drivers.StrangerCgroup, Name: place, Cgroup: place}
	l, err := readLabel(dir)
	switch {
	case errors.Is(err, unix.ENOENT):
		return all, nil
	case err == nil && l.run == ts.run:
		return all, nil
	case err == nil:
		s.Owner = l.who(ts.run)
	case !errors.Is(err, errUnmarked):
		s.Owner = "it carries a mark like ours: " + err.Error()
	}
	pids, err := procsIn(dir)
	if err != nil {
		return nil, err
	}
	if s.PIDs = pids; len(pids) > 0 {
		if s.Describe(); len(s.PIDs) > 0 {
			all = append(all, s)
		}
	}
	below, err := subgroups(dir)
	if errors.Is(err, os.ErrNotExist) || depth == 0 {
		return all, nil
	}
	for _, name := range below {
		if err == nil {
			all, err = ts.strangersIn(path.Join(place, name), depth-1, all)
		}
	}
	return all, err
}

package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/pkg/drivers/process"
)

// maxDepth is how deep leaves are looked for: a slice nested as deep as its name allows has them deeper than anybody wants.
const maxDepth = 64

// Marks walks through the slices of the subtree and returns its leaves. It looks into none of them.
func (ts *trees) Marks() (map[string]string, error) { return ts.walks.do(ts.marks) }

func (ts *trees) marks() (map[string]string, error) {
	found := map[string]string{}
	if ts.none != nil {
		return found, nil
	}
	names, err := subgroups(ts.sub.dir(ts.sub.rel))
	for _, name := range names {
		if err == nil && isSlice(name) {
			err = ts.walk(path.Join(ts.sub.rel, name), maxDepth, found)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("look for daemons in the cgroups of %s: %w", ts.sub.dir(ts.sub.rel), err)
	}
	return found, nil
}

func (ts *trees) walk(place string, depth int, found map[string]string) error {
	names, err := subgroups(ts.sub.dir(place))
	if errors.Is(err, os.ErrNotExist) || depth == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		below := path.Join(place, name)
		switch l, err := readLabel(ts.sub.dir(below)); {
		case err == nil && l.run == ts.run:
			found[l.name] = below
		case errors.Is(err, errUnmarked):
			if err := ts.walk(below, depth-1, found); err != nil {
				return err
			}
		}
	}
	return nil
}

// Mark returns what a leaf of ours says.
func (ts *trees) Mark(place string) (*process.Mark, error) {
	l, err := readLabel(ts.sub.dir(place))
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, errUnmarked):
		return nil, nil
	case err != nil:
		return nil, err
	case l.run != ts.run:
		return nil, nil
	}
	m, err := l.decode()
	if err != nil {
		return nil, fmt.Errorf("cgroup %s: its mark makes no sense: %w", ts.sub.dir(place), err)
	}
	m.Place = place
	return m, nil
}

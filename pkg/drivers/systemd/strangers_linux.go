package systemd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// ownSlice is ours wherever it is; others are where a daemon of ours names them.
const ownSlice = "reconciler.slice"

// shared are the slices that every machine has, for everybody: see systemd.special(7).
func sharedSlices() []string {
	return []string{"-.slice", "system.slice", "user.slice", "machine.slice", "capsule.slice", "app.slice", "session.slice", "background.slice"}
}

// Strangers reads the cgroups of our slices: which units have processes, and which of them carry our stamp. The manager is asked for nothing.
func (d *Driver) Strangers(ctx context.Context) ([]drivers.Stranger, error) {
	finds, err := d.placed(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("look for what isn't ours: %w", err)
	}
	mount := d.cgroupMount()
	root, err := d.managerCgroup(ctx)
	if err == nil && mount == "" {
		err = fmt.Errorf("cgroup v2 isn't mounted on this machine: %w", drivers.ErrUnsupported)
	}
	if err != nil {
		return nil, fmt.Errorf("look for what isn't ours: %w", err)
	}
	s := survey{mount: mount, ours: map[string]bool{}, found: map[string]drivers.Stranger{}, read: d.units.read}
	ownSlices := map[string]bool{ownSlice: true}
	for _, f := range finds {
		s.ours[f.unit] = true
		if st := f.stamp(); st != nil && st.Spec.Cgroup != nil && st.Spec.Cgroup.Slice != "" && !slices.Contains(sharedSlices(), st.Spec.Cgroup.Slice) {
			ownSlices[st.Spec.Cgroup.Slice] = true
		}
	}
	for slice := range ownSlices {
		if err := s.slice(path.Join(append([]string{"/", root}, spec.SlicePath(slice)...)...)); err != nil {
			return nil, fmt.Errorf("look for what isn't ours in %s: %w", slice, err)
		}
	}
	return slices.SortedFunc(maps.Values(s.found), func(a, b drivers.Stranger) int { return cmp.Compare(a.Cgroup, b.Cgroup) }), nil
}

// survey is a walk through slices.
type survey struct {
	mount string
	ours  map[string]bool // units
	found map[string]drivers.Stranger
	read  func(unit string) *unitFile
}

// slice looks at all that is directly in a slice, and at the slices in it.
func (s *survey) slice(group string) error {
	if err := s.add(drivers.StrangerCgroup, group, group, false); err != nil {
		return err
	}
	entries, err := os.ReadDir(filepath.Join(s.mount, group))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	for _, e := range entries {
		below := path.Join(group, e.Name())
		switch ext := path.Ext(e.Name()); {
		case err != nil || !e.IsDir():
		case ext == ".slice":
			err = s.slice(below)
		case ext != ".service" && ext != ".scope":
			err = s.add(drivers.StrangerCgroup, below, below, true)
		case !s.ours[e.Name()] && !(e.Name() == ServiceName && IsService(s.read(ServiceName).text)):
			err = s.add(drivers.StrangerUnit, e.Name(), below, true)
		}
	}
	return err
}

// add notes a group that has processes, in it or, with deep, below it.
func (s *survey) add(kind drivers.StrangerKind, name, group string, deep bool) error {
	pids, err := processesIn(filepath.Join(s.mount, group), deep)
	if err != nil || len(pids) == 0 {
		return err
	}
	one := drivers.Stranger{Kind: kind, Name: name, Cgroup: group, PIDs: pids}
	if one.Describe(); len(one.PIDs) > 0 {
		s.found[group] = one
	}
	return nil
}

// processesIn are those in a cgroup, a directory; with deep also those below it. One that is gone has none.
func processesIn(dir string, deep bool) (pids []int, err error) {
	err = filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case !e.IsDir():
			return nil
		case p != dir && !deep:
			return filepath.SkipDir
		}
		data, err := os.ReadFile(filepath.Join(p, "cgroup.procs"))
		for word := range strings.FieldsSeq(string(data)) {
			if pid, err := strconv.Atoi(word); err == nil && pid > 0 {
				pids = append(pids, pid)
			}
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		err = nil
	}
	return pids, err
}

package cgroup

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/failpoint"
	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/process"
	"reconciler.dev/reconciler/pkg/spec"
)

// attrTaking is on a group that is being made the leaf of a daemon which runs already: what a takeover that was cut off has left is known by it. It holds the directory of the
// reconciler and the name of the daemon.
const attrTaking = "user.reconciler.taking"

func (ts *trees) taking(name string) string { return ts.run + "\n" + name }

// isTaking tells whether a group, a directory, is what a takeover of that daemon has left.
func (ts *trees) isTaking(dir, name string) bool {
	buf := make([]byte, 8<<10)
	n, err := unix.Getxattr(dir, attrTaking, buf)
	return err == nil && string(buf[:n]) == ts.taking(name)
}

// Vacant is Place, but for what a takeover of that daemon has left.
func (ts *trees) Vacant(name string, s *spec.Spec) (string, error) {
	place, err := ts.Place(name, s)
	if err == nil || ts.none != nil {
		return place, err
	}
	leaf, placeErr := placeOf(name, s.Cgroup)
	if placeErr != nil {
		return "", placeErr
	}
	if leaf = filepath.Join(ts.sub.rel, leaf); ts.isTaking(ts.sub.dir(leaf), name) {
		return leaf, nil
	}
	return "", err
}

// Take makes the leaf with its limits, moves the processes into it, parents first, and marks it when none is left outside: from the mark on the daemon is ours. Where that can't be
// done they are moved back.
func (ts *trees) Take(t process.Tree, m *process.Mark, members func() ([]procfs.Stat, error), still func() error) (err error) {
	dir, err := ts.dirOf(t)
	if err != nil {
		return err
	}
	data, err := encodeLabel(ts.run, m)
	if err != nil {
		return err
	}
	if !ts.isTaking(dir, t.Name) {
		if err := ts.mkdir(t, dir); err != nil {
			return fmt.Errorf("make cgroup %s: %w", dir, err)
		}
		if err := unix.Setxattr(dir, attrTaking, []byte(ts.taking(t.Name)), 0); err != nil {
			return errors.Join(fmt.Errorf("mark cgroup %s: %w", dir, err), rmdir(dir))
		}
	}
	from := map[int]string{}
	defer func() {
		if err != nil {
			ts.moveBack(t, dir, from)
		}
	}()
	if err := ts.limitNew(t.Place, &m.Stamp.Spec); err != nil {
		return err
	}
	for range maxMoves {
		whole, err := ts.move(t, dir, members, still, from)
		if err != nil {
			return err
		}
		if !whole {
			continue
		}
		failpoint.Hit(failpoint.AdoptMoved)
		if err := unix.Setxattr(dir, attrLeaf, data, 0); err != nil {
			return fmt.Errorf("mark cgroup %s: %w", dir, err)
		}
		_ = unix.Removexattr(dir, attrTaking) // beside the mark it says nothing
		return nil
	}
	return fmt.Errorf("move the processes of daemon %s into cgroup %s: they come and go too fast to find them all", t.Name, dir)
}

// maxMoves bounds how often a tree is gone through that grows while it is moved.
const maxMoves = 1000

// move moves the members that aren't in the leaf yet, and notes where they were. whole says that all were there.
func (ts *trees) move(t process.Tree, dir string, members func() ([]procfs.Stat, error), still func() error, from map[int]string) (whole bool, err error) {
	all, err := members()
	if err == nil {
		err = still()
	}
	if err != nil {
		return false, err
	}
	whole = true
	for _, p := range all {
		in, err := ts.Has(t, p.PID)
		if err != nil || in {
			if err != nil {
				return false, err
			}
			continue
		}
		was, err := groupOf(p.PID)
		if err != nil {
			return false, err
		}
		whole = false
		if rel, ok := ts.sub.mount.within(was); ok {
			if l, err := readLabel(ts.sub.dir(rel)); err == nil {
				return false, fmt.Errorf("process %d is in cgroup %s, %s: %w", p.PID, was, l.who(ts.run), drivers.ErrConflict)
			}
			from[p.PID] = rel
		}
		err = writeFile(filepath.Join(dir, "cgroup.procs"), strconv.Itoa(p.PID))
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return false, fmt.Errorf("move process %d into cgroup %s: %w", p.PID, dir, err)
		}
	}
	return whole, nil
}

// moveBack undoes what can be undone. A daemon that stays in a group without a mark runs on there, and isn't ours.
func (ts *trees) moveBack(t process.Tree, dir string, from map[int]string) {
	for pid, rel := range from {
		if in, err := ts.Has(t, pid); in && err == nil {
			_ = writeFile(filepath.Join(ts.sub.dir(rel), "cgroup.procs"), strconv.Itoa(pid))
		}
	}
	_ = rmdir(dir)
}

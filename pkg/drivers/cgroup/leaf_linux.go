package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/failpoint"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/process"
	"reconciler.dev/reconciler/pkg/spec"
)

// Place returns the path of the leaf below the mount. It conflicts with whatever is there and isn't the daemon's own, and with a leaf above it: processes sit in leaves only.
func (ts *trees) Place(name string, s *spec.Spec) (string, error) {
	if ts.none != nil {
		return "", ts.none
	}
	place, err := placeOf(name, s.Cgroup)
	if err != nil {
		return "", err
	}
	place = path.Join(ts.sub.rel, place)
	switch l, err := readLabel(ts.sub.dir(place)); {
	case errors.Is(err, unix.ENOENT):
	case err != nil:
		return "", fmt.Errorf("cgroup %s is there: %w; remove it, or give the daemon another place (spec.cgroup): %w", ts.sub.dir(place), err, drivers.ErrConflict)
	case !l.of(ts.run, name):
		return "", fmt.Errorf("cgroup %s is there: it is %s; give one of the two another place (spec.cgroup): %w", ts.sub.dir(place), l.who(ts.run), drivers.ErrConflict)
	}
	for above := path.Dir(place); above != ts.sub.rel; above = path.Dir(above) {
		if l, err := readLabel(ts.sub.dir(above)); err == nil {
			return "", fmt.Errorf("cgroup %s would be in the one %s, which nothing else can be in; give one of the two another place (spec.cgroup): %w", ts.sub.dir(place), l.who(ts.run), drivers.ErrConflict)
		}
	}
	return place, nil
}

// Make makes the leaf, new, so that it inherits no counts and no limits; marks it, limits it, and opens it for the fork.
func (ts *trees) Make(t process.Tree, m *process.Mark) (into int, done func(), err error) {
	fail := func(err error) (int, func(), error) {
		return 0, nil, fmt.Errorf("make cgroup %s: %w", ts.sub.dir(t.Place), err)
	}
	if ts.none != nil {
		return fail(ts.none)
	}
	dir, err := ts.dirOf(t)
	if err != nil {
		return fail(err)
	}
	data, err := encodeLabel(ts.run, m)
	if err != nil {
		return fail(err)
	}
	if err := ts.mkdir(t, dir); err != nil {
		return fail(err)
	}
	failpoint.Hit(failpoint.LeafMade)
	err = unix.Setxattr(dir, attrLeaf, data, 0)
	if err == nil {
		failpoint.Hit(failpoint.LeafMarked)
		err = ts.limitNew(t.Place, &m.Stamp.Spec)
	}
	fd := -1
	if err == nil {
		fd, err = unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return fail(errors.Join(err, ts.Remove(t)))
	}
	return fd, func() { unix.Close(fd) }, nil
}

// mkdirTries bounds how often the parents of a leaf are made, while somebody else removes them because they are empty.
const mkdirTries = 100

// mkdir makes the directory of a leaf. One that is there it removes first, if that is the daemon's own and nothing lives in it.
func (ts *trees) mkdir(t process.Tree, dir string) error {
	for range mkdirTries {
		err := unix.Mkdir(dir, ownerOnly)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.ENOENT):
			err = ts.mkParents(path.Dir(t.Place))
		case errors.Is(err, unix.EEXIST):
			err = ts.clear(t, dir)
		}
		if err != nil {
			return err
		}
	}
	return errors.New("somebody removes the groups above it all the time")
}

// clear removes what an instance before left.
func (ts *trees) clear(t process.Tree, dir string) error {
	l, err := readLabel(dir)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil
	case err != nil:
		return fmt.Errorf("it is there: %w: %w", err, drivers.ErrConflict)
	case !l.of(ts.run, t.Name):
		return fmt.Errorf("it is there, %s: %w", l.who(ts.run), drivers.ErrConflict)
	}
	if err := rmdir(dir); errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("processes of instance %s are in it: %w", l.id, drivers.ErrMoved)
	} else if err != nil {
		return err
	}
	return nil
}

// mkParents makes the groups down to place, and marks those that it made.
func (ts *trees) mkParents(place string) error {
	if len(downTo(ts.sub.rel, place)) < 2 {
		return nil // it is the subtree itself; or isn't in it, and not ours to make
	}
	if err := ts.mkParents(path.Dir(place)); err != nil {
		return err
	}
	dir := ts.sub.dir(place)
	switch err := unix.Mkdir(dir, 0o755); err {
	case nil:
		return unix.Setxattr(dir, attrParent, []byte(ts.run), 0)
	case unix.EEXIST, unix.ENOENT: // ENOENT: somebody removed the one above; the caller tries again
		return nil
	default:
		return err
	}
}

// Remove removes the leaf, with the groups that the daemon made in it, and the groups above that were made for it and are empty now.
func (ts *trees) Remove(t process.Tree) error {
	if t.Place == "" {
		return nil
	}
	dir, err := ts.dirOf(t)
	if err == nil {
		err = ts.remove(t, dir)
	}
	if err != nil {
		return fmt.Errorf("remove cgroup %s: %w", ts.sub.dir(t.Place), err)
	}
	return nil
}

func (ts *trees) remove(t process.Tree, dir string) error {
	l, err := readLabel(dir)
	switch {
	case errors.Is(err, unix.ENOENT):
	case errors.Is(err, errUnmarked) && t.Begun, err == nil && l.of(ts.run, t.Name) && l.id == t.ID:
		ts.removing.Lock()
		err := rmdir(dir)
		ts.removing.Unlock()
		if err != nil && !(t.Begun && errors.Is(err, unix.EBUSY)) {
			return err
		}
		failpoint.Hit(failpoint.LeafRemoved)
	default:
		return nil // not that one
	}
	ts.prune(path.Dir(t.Place))
	return nil
}

// prune removes place and the groups above it as far as they were made by us and are empty. Who can't be removed is in use, or somebody else was faster.
func (ts *trees) prune(place string) {
	for ; place != "/" && place != ts.sub.rel; place = path.Dir(place) {
		dir := ts.sub.dir(place)
		var st unix.Stat_t
		if err := unix.Stat(dir, &st); err == nil && st.Nlink > 2 {
			return // there are groups in it
		}
		var b [1]byte
		if _, err := unix.Getxattr(dir, attrParent, b[:]); err != nil && err != unix.ERANGE && err != unix.ENOENT {
			return // not made by us
		}
		if err := unix.Rmdir(dir); err != nil && err != unix.ENOENT {
			return
		}
	}
}

// rmdir removes a group and those in it. The error is unix.EBUSY where a process is in one of them; it is none that there is no such group.
func rmdir(dir string) error {
	err := unix.Rmdir(dir)
	if err != unix.EBUSY && err != unix.ENOTEMPTY {
		if err == unix.ENOENT {
			return nil
		}
		return err
	}
	below, readErr := subgroups(dir)
	if readErr != nil || len(below) == 0 {
		return err
	}
	for _, name := range below {
		if err := rmdir(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	if err = unix.Rmdir(dir); err == unix.ENOENT {
		return nil
	}
	return err
}

// subgroups lists the groups directly in one.
func subgroups(dir string) (names []string, err error) {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil || st.Nlink <= 2 { // . and the entry above; see kernfs
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// dirOf is the directory of a tree's leaf. The place comes from a record, so it isn't trusted.
func (ts *trees) dirOf(t process.Tree) (string, error) {
	if !isPlace(t.Place) {
		return "", fmt.Errorf("%q is no place for a daemon: %w", t.Place, drivers.ErrPermanent)
	}
	return ts.sub.dir(t.Place), nil
}

// leafOf is dirOf for those who deal with the processes in there: it is empty where the leaf is gone, or isn't the instance's.
func (ts *trees) leafOf(t process.Tree) (string, error) {
	if t.Place == "" {
		return "", nil
	}
	dir, err := ts.dirOf(t)
	if err != nil {
		return "", err
	}
	switch l, err := readLabel(dir); {
	case errors.Is(err, unix.ENOENT), errors.Is(err, errUnmarked):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("look into cgroup %s: %w", dir, err)
	case !l.of(ts.run, t.Name) || l.id != t.ID:
		return "", nil
	}
	return dir, nil
}

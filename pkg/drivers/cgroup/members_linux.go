package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/cgroups/v3/cgroup2"
	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/pkg/drivers/process"
)

// How often a leaf is looked at that has processes, and none that can be named: those that are just on their way in or out.
const (
	maxLooks  = 2000
	nextLook  = 100 * time.Microsecond
	fastLooks = 10
)

// Living reads the leaf. cgroup.events tells when there are none, in it and below it; the kernel counts as gone who has ended, noticed by its parent or not.
func (ts *trees) Living(t process.Tree, dead ...process.Process) ([]procfs.Stat, error) {
	dir, err := ts.leafOf(t)
	if dir == "" || err != nil {
		return nil, err
	}
	for n := range maxLooks {
		if full, err := populated(dir); err != nil || !full {
			return nil, err
		}
		living, err := living(dir, dead)
		if err != nil || len(living) > 0 {
			return living, err
		}
		if n > fastLooks {
			<-time.After(nextLook)
		}
	}
	return nil, fmt.Errorf("look for the processes in cgroup %s: there are some, and none that can be seen from here", dir)
}

// populated tells whether a process is in a group or below it.
func populated(dir string) (bool, error) {
	text, err := readFile(filepath.Join(dir, "cgroup.events"))
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) {
		return false, nil // there is no such group
	}
	if err != nil {
		return false, fmt.Errorf("look into cgroup %s: %w", dir, err)
	}
	return strings.Contains(text, "populated 1"), nil
}

// living returns the processes of a group and those below it.
func living(dir string, dead []process.Process) (all []procfs.Stat, err error) {
	pids, err := procsIn(dir)
	if err != nil {
		return nil, fmt.Errorf("look into cgroup %s: %w", dir, err)
	}
	for _, pid := range pids {
		st, err := procfs.ReadStat(pid)
		switch {
		case errors.Is(err, procfs.ErrGone):
		case err != nil:
			return nil, err
		case !st.Dead() || !slices.Contains(dead, process.Process{PID: pid, Start: st.Start}): // one that is dead and listed has threads that live
			all = append(all, st)
		}
	}
	below, err := subgroups(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("look into cgroup %s: %w", dir, err)
	}
	for _, name := range below {
		more, err := living(filepath.Join(dir, name), dead)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

// procsIn returns the processes in a group, not those below it. A group that isn't there has none.
func procsIn(dir string) (pids []int, err error) {
	text, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EOPNOTSUPP) { // EOPNOTSUPP: a threaded group, whose processes its root lists
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for word := range bytes.FieldsSeq(text) {
		if pid, err := strconv.Atoi(string(word)); err == nil && pid > 0 { // 0: in a PID namespace that we don't see
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// Spots looks whether each leaf is there. Which instance it is for is read once: a cgroup that is made anew has another number.
func (ts *trees) Spots(all []process.Tree) ([]process.Spot, error) {
	spots := make([]process.Spot, len(all))
	ts.spotted.Lock()
	defer ts.spotted.Unlock()
	now := make(map[process.Tree]spotted, len(all))
	for i, t := range all {
		was := ts.spotted.last[t]
		var st unix.Stat_t
		if was.dir == "" || unix.Lstat(was.dir, &st) != nil || st.Ino != was.inode {
			dir, err := ts.leafOf(t)
			if spots[i].Err = err; dir == "" {
				continue
			}
			if was = (spotted{dir: dir}); unix.Lstat(dir, &st) == nil {
				was.inode = st.Ino
			}
		}
		now[t] = was
		spots[i].Cgroup, spots[i].Dir = t.Place, was.dir
	}
	if len(all) > 1 {
		ts.spotted.last = now
	}
	return spots, nil
}

// spotted is the leaf of an instance.
type spotted struct {
	dir   string
	inode uint64
}

// spots are those that were seen last.
type spots struct {
	sync.Mutex
	last map[process.Tree]spotted
}

// Has reads where a process is.
func (ts *trees) Has(t process.Tree, pid int) (bool, error) {
	now, err := groupOf(pid)
	return now != "" && isIn(now, ts.sub.mount.group(t.Place)), err
}

// groupOf returns the group of a process, empty where there is no such process.
func groupOf(pid int) (string, error) {
	text, err := readFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look at process %d: %w", pid, err)
	}
	return parseOwn(text), nil
}

// isIn tells whether a group is a leaf, or below it.
func isIn(group, leaf string) bool { return group == leaf || strings.HasPrefix(group, leaf+"/") }

// Kill writes cgroup.kill, which reaches those who are just being made as well. A kernel before 5.14 has no such file: there the leaf is frozen, so that nobody in it makes
// others, and whoever called kills them one by one, which frozen ones don't survive.
func (ts *trees) Kill(t process.Tree) error {
	dir, err := ts.leafOf(t)
	if dir == "" || err != nil {
		return err
	}
	err = writeFile(filepath.Join(dir, "cgroup.kill"), "1")
	if !errors.Is(err, unix.ENOENT) {
		return err
	}
	if full, err := populated(dir); err != nil || !full {
		return err
	}
	return ts.freeze(t.Place)
}

// freeze stops all processes of a leaf where they are.
func (ts *trees) freeze(place string) error {
	m, err := cgroup2.Load(place, cgroup2.WithMountpoint(ts.sub.mount.point))
	if err == nil {
		err = m.Freeze()
	}
	if err != nil {
		return fmt.Errorf("freeze cgroup %s: %w", ts.sub.dir(place), err)
	}
	return nil
}

// OOMKilled reads the leaf's count, which began with the instance.
func (ts *trees) OOMKilled(t process.Tree) bool {
	if dir, err := ts.leafOf(t); dir == "" || err != nil {
		return false
	}
	m, err := cgroup2.Load(t.Place, cgroup2.WithMountpoint(ts.sub.mount.point))
	if err != nil {
		return false
	}
	stats, err := m.StatFiltered(cgroup2.StatMemoryEvents)
	return err == nil && stats.MemoryEvents.GetOomKill() > 0
}

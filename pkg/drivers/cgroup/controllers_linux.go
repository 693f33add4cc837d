package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/pkg/spec"
)

// controllers enables controllers from the subtree down to leaves, and says why one can't be. It writes to no group above the subtree.
type controllers struct {
	sub *subtree

	mu sync.Mutex
	// done is what was enabled for the groups in one, so that it isn't looked at again as long as it is the same group.
	done map[string]enabled
}

type enabled struct {
	inode uint64
	names []string
}

// accounting are enabled even for daemons that ask for no limit, where that disturbs nobody: they tell an OOM kill, and what a daemon uses. The others cost more, and change
// how CPU time and IO are shared.
func accounting() []string { return []string{"memory", "pids"} }

// selfLeaf is where this process goes when it stands in the way of a controller.
const selfLeaf = "reconciler-self"

// enable enables what c asks for, as far as that can be done, for the leaf at place. What can't be is found missing by whoever looks at the leaf. Without again, what was tried
// once for the leaves of a group isn't tried for the next one.
func (cs *controllers) enable(place string, c *spec.Cgroup, again bool) {
	asked := askedControllers(c)
	cs.mu.Lock()
	defer cs.mu.Unlock()
	parent := path.Dir(place)
	all := slices.Compact(slices.Sorted(slices.Values(slices.Concat(asked, accounting()))))
	var st unix.Stat_t
	if err := unix.Stat(cs.sub.dir(parent), &st); err != nil {
		return
	}
	if d := cs.done[parent]; !again && d.inode == st.Ino && !slices.ContainsFunc(all, func(n string) bool { return !slices.Contains(d.names, n) }) {
		return
	}
	for _, group := range downTo(cs.sub.rel, parent) {
		have := words(cs.sub.dir(group), "cgroup.subtree_control")
		there := words(cs.sub.dir(group), "cgroup.controllers")
		missing := slices.DeleteFunc(slices.Clone(all), func(n string) bool { return slices.Contains(have, n) || !slices.Contains(there, n) })
		if len(missing) == 0 {
			continue
		}
		if group == cs.sub.rel && cs.occupied(slices.ContainsFunc(missing, func(n string) bool { return slices.Contains(asked, n) })) != "" {
			return
		}
		for _, n := range missing { // each by itself: one that fails doesn't take the others with it
			if err := writeFile(filepath.Join(cs.sub.dir(group), "cgroup.subtree_control"), "+"+n); err != nil {
				continue // the leaf lacks its files: that is how it is found out
			}
		}
	}
	cs.done[parent] = enabled{st.Ino, all}
}

// askedControllers are those that c needs.
func askedControllers(c *spec.Cgroup) (names []string) {
	for _, l := range limits() {
		if l.asked(c) != "" && !slices.Contains(names, l.controller) {
			names = append(names, l.controller)
		}
	}
	return names
}

// occupied says why the subtree's own group can have no controllers enabled for those in it, empty where nothing is in the way: but in the root of all, processes sit in leaves only. With move,
// this process goes out of the way if it is.
func (cs *controllers) occupied(move bool) string {
	dir := cs.sub.dir(cs.sub.rel)
	if isRoot(dir) {
		return ""
	}
	others, self := cs.occupants(dir)
	switch {
	case len(others) > 0:
		return fmt.Sprintf("processes %s are in %s, and controllers can't be enabled for the groups in one that has processes itself: move them into a group below it", list(others), dir)
	case self && move:
		if err := cs.moveSelf(dir); err != nil {
			return fmt.Sprintf("reconciler itself is in %s, and can't leave it: %v", dir, err)
		}
	}
	return ""
}

// occupants are the processes in a group other than this one; self says that this one is.
func (cs *controllers) occupants(dir string) (others []int, self bool) {
	pids, err := procsIn(dir)
	if err != nil {
		return nil, false
	}
	for _, pid := range pids {
		if pid == os.Getpid() {
			self = true
		} else {
			others = append(others, pid)
		}
	}
	return others, self
}

// moveSelf moves this process, and no other, into a leaf of its own.
func (cs *controllers) moveSelf(dir string) error {
	leaf := filepath.Join(dir, selfLeaf)
	if err := unix.Mkdir(leaf, 0o755); err != nil && err != unix.EEXIST {
		return err
	}
	return writeFile(filepath.Join(leaf, "cgroup.procs"), strconv.Itoa(os.Getpid()))
}

// why says why a limit can't be enforced in a leaf at place, empty where it can.
func (cs *controllers) why(l limit, place string) string {
	dir := cs.sub.dir(cs.sub.rel)
	n := l.controller
	if !slices.Contains(words(dir, "cgroup.controllers"), n) {
		switch {
		case cs.sub.v1[n] != "" || n == "io" && cs.sub.v1["blkio"] != "":
			return fmt.Sprintf("no %s controller in %s: it is on cgroup v1", n, dir)
		case cs.sub.rel != "/":
			return fmt.Sprintf("no %s controller in %s: it isn't delegated to this group, or the kernel has none", n, dir)
		}
		return fmt.Sprintf("no %s controller in %s: the kernel has none, or it is switched off", n, dir)
	}
	if !isRoot(dir) && !exists(filepath.Join(dir, l.file)) {
		return fmt.Sprintf("this kernel has the %s controller without %s", n, l.file)
	}
	if !slices.Contains(words(dir, "cgroup.subtree_control"), n) {
		if why := cs.occupied(false); why != "" {
			return why
		}
		return ""
	}
	return cs.whyBelow(l, place)
}

// whyBelow looks at the groups that are there already on the way to place.
func (cs *controllers) whyBelow(l limit, place string) string {
	for _, group := range downTo(cs.sub.rel, path.Dir(place)) {
		if group == cs.sub.rel {
			continue
		}
		dir := cs.sub.dir(group)
		there := words(dir, "cgroup.controllers")
		if there == nil {
			return "" // it isn't made yet
		}
		if !slices.Contains(there, l.controller) {
			return fmt.Sprintf("no %s controller in %s: somebody keeps it from that group", l.controller, dir)
		}
		if !exists(filepath.Join(dir, l.file)) {
			return fmt.Sprintf("this kernel has the %s controller without %s", l.controller, l.file)
		}
	}
	return ""
}

// isRoot tells whether a group is the root of the whole hierarchy, which has no limits and no rules. That of a cgroup namespace isn't.
func isRoot(dir string) bool { return !exists(filepath.Join(dir, "cgroup.type")) }

func exists(file string) bool {
	_, err := os.Stat(file)
	return !errors.Is(err, os.ErrNotExist)
}

// words reads a file of names; nil where it can't be read.
func words(dir, file string) []string {
	text, err := readFile(filepath.Join(dir, file))
	if err != nil {
		return nil
	}
	return append([]string{}, strings.Fields(text)...)
}

// list writes a few numbers of processes.
func list(pids []int) string {
	const few = 5
	var s []string
	for _, p := range pids[:min(few, len(pids))] {
		s = append(s, strconv.Itoa(p))
	}
	if len(pids) > few {
		s = append(s, fmt.Sprintf("and %d others", len(pids)-few))
	}
	return strings.Join(s, ", ")
}

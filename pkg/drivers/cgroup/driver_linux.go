package cgroup

import (
	"errors"
	"fmt"
	"path"
	"sync"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/spawn"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/process"
	"reconciler.dev/reconciler/pkg/spec"
)

// trees hold daemons in leaves.
type trees struct {
	sub *subtree
	// none says why nothing of the hierarchy is ours, where that is so.
	none        error
	run         string
	controllers controllers
	emptying    emptying
	walks       shared[map[string]string]
	spotted     spots
	// removing is held while a leaf is removed: the kernel does one after the other anyway, and whoever waits for it there keeps a thread.
	removing sync.Mutex
}

var _ process.Trees = (*trees)(nil)

// Kind is cgroup.
func (*trees) Kind() spec.DriverKind { return spec.DriverCgroup }

// Certain is true: who gets into a leaf may write it.
func (*trees) Certain() bool { return true }

// New returns the cgroup driver. The error wraps ErrUnsupported, and is an *drivers.Unavailable with the reason and the remedy, where this machine has no cgroups that are ours; the
// driver may be returned all the same then, to look after daemons that were started where there were: it starts none. The program must call spawn.Main first thing in main.
func New(o Options) (*process.Driver, error) {
	sub, none := findSubtree(o.Below)
	if none == nil {
		none = check(sub)
	}
	failed := none
	if none != nil {
		failed = fmt.Errorf("set up the cgroup driver: %w", none)
	}
	if sub == nil || none != nil && !errors.Is(none, drivers.ErrUnsupported) {
		return nil, failed
	}
	ts := &trees{sub: sub, none: none, run: o.Dirs.Run}
	ts.controllers = controllers{sub: sub, done: map[string]enabled{}}
	d, err := process.NewWith(process.Options{Dirs: o.Dirs, Spawner: o.Spawner}, ts)
	if err != nil {
		return nil, err
	}
	return d, failed
}

// findSubtree finds what is ours; with below, that group.
func findSubtree(below string) (*subtree, error) {
	m, err := thisMachine()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, drivers.ErrUnsupported)
	}
	if below == "" {
		return m.find()
	}
	m.systemd, m.writable = false, func(string) error { return nil } // whoever names the group vouches for it
	sub, err := m.find()
	if err != nil {
		return nil, err
	}
	sub.rel = path.Join("/", below)
	if err := isWritable(sub.dir(sub.rel)); err != nil {
		return nil, m.unavailable(fmt.Sprintf("user %d may not write %s (%v)", m.uid, sub.dir(sub.rel), bare(err)), "")
	}
	return sub, nil
}

// check looks whether the kernel can do what leaves take.
func check(sub *subtree) error {
	var b [1]byte
	_, err := unix.Getxattr(sub.dir(sub.rel), attrParent, b[:])
	if errors.Is(err, unix.EOPNOTSUPP) || !spawn.MayStartInCgroup() {
		return &drivers.Unavailable{Kind: spec.DriverCgroup, Reason: "this kernel can't start a process in a cgroup and mark that (clone3 with CLONE_INTO_CGROUP, Linux 5.7), or a filter of system calls keeps that from us"}
	}
	return nil
}

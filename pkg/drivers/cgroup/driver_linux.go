package cgroup

import (
	"errors"
	"fmt"
	"path"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/spawn"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/process"
	"reconciler.dev/reconciler/pkg/spec"
)

// trees hold daemons in leaves.
type trees struct {
	sub         *subtree
	run         string
	controllers controllers
	emptying    emptying
}

var _ process.Trees = (*trees)(nil)

// Kind is cgroup.
func (*trees) Kind() spec.DriverKind { return spec.DriverCgroup }

// Certain is true: who gets into a leaf may write it.
func (*trees) Certain() bool { return true }

// New returns the cgroup driver. The error wraps ErrUnsupported, and is an *drivers.Unavailable with the reason and the remedy, where this machine has no cgroups that are ours. The
// program must call spawn.Main first thing in main.
func New(o Options) (*process.Driver, error) {
	sub, err := findSubtree(o.Below)
	if err == nil {
		err = check(sub)
	}
	if err != nil {
		return nil, fmt.Errorf("set up the cgroup driver: %w", err)
	}
	ts := &trees{sub: sub, run: o.Dirs.Run}
	ts.controllers = controllers{sub: sub, done: map[string]enabled{}}
	return process.NewWith(process.Options{Dirs: o.Dirs, Spawner: o.Spawner}, ts)
}

// findSubtree finds what is ours; with below, that group.
func findSubtree(below string) (*subtree, error) {
	m, err := thisMachine()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, drivers.ErrUnsupported)
	}
	if below != "" { // somebody vouches for it
		m.systemd = false
	}
	sub, err := m.find()
	if err != nil || below == "" {
		return sub, err
	}
	if sub.rel = path.Join("/", below); m.writable(sub.dir("")) != nil {
		return nil, m.unavailable(fmt.Sprintf("user %d may not write %s", m.uid, sub.dir("")), "")
	}
	return sub, nil
}

// check looks whether the kernel can do what leaves take.
func check(sub *subtree) error {
	var b [1]byte
	_, err := unix.Getxattr(sub.dir(""), attrParent, b[:])
	if errors.Is(err, unix.EOPNOTSUPP) || !spawn.MayStartInCgroup() {
		return &drivers.Unavailable{Kind: spec.DriverCgroup, Reason: "this kernel can't start a process in a cgroup and mark that (clone3 with CLONE_INTO_CGROUP, Linux 5.7), or a filter of system calls keeps that from us"}
	}
	return nil
}

package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// subtree is the part of the hierarchy that is ours to write in: a group and all below it, but no file of the group itself other than cgroup.procs and
// cgroup.subtree_control.
type subtree struct {
	mount mount
	// rel is its path below the mount, as in / or /user.slice/x.scope; empty: nothing is ours. own is that of the group this process was found in.
	rel, own string
	// v1 are the mount points of controllers that cgroup v1 has.
	v1 map[string]string
}

// dir is the directory of a group below the mount.
func (s *subtree) dir(group string) string { return filepath.Join(s.mount.point, group) }

// machine is what the search for a subtree asks. It is a value so that tests can be other machines.
type machine struct {
	mountinfo, own string
	uid            int
	// systemd says that systemd keeps this machine's cgroups.
	systemd bool
	// delegated tells whether systemd gave a group, a directory, to whoever is in it.
	delegated func(dir string) (bool, error)
	// writable says why a group, a directory, is not ours to write in; nil: it is.
	writable func(dir string) error
}

// thisMachine is the one we run on.
func thisMachine() (machine, error) {
	mountinfo, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return machine{}, err
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return machine{}, err
	}
	_, err = os.Stat("/run/systemd/system") // sd_booted(3)
	return machine{string(mountinfo), string(own), os.Geteuid(), err == nil, isDelegated, isWritable}, nil
}

// isWritable asks for what a fork into a group below takes: that we may make groups there, and may write the cgroup.procs of what we and the new group have in common.
func isWritable(dir string) error {
	if err := unix.Faccessat2(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, "cgroup.procs"), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

// find returns the subtree that is ours. Where there is none the error is an *drivers.Unavailable that says why, and what makes one; what is returned with it, if anything, is
// enough to look after leaves that are elsewhere.
func (m machine) find() (*subtree, error) {
	all, own := parseMounts(m.mountinfo), parseOwn(m.own)
	var err error
	if len(all.v2) == 0 {
		return nil, m.unavailable("no cgroup2 file system is mounted", m.mountRemedy())
	}
	if own == "" {
		return nil, m.unavailable("/proc/self/cgroup names no group of cgroup v2", "")
	}
	for _, mt := range slices.Backward(all.v2) {
		if rel, ok := mt.within(own); ok {
			s := &subtree{mount: mt, own: rel, v1: all.v1}
			s.rel, err = m.findIn(s)
			return s, err
		}
	}
	return nil, m.unavailable(fmt.Sprintf("no mount of cgroup2 shows our own group, %s: %s shows %s", own, all.v2[0].point, all.v2[0].root), "")
}

// findIn looks for the topmost group of a mount that we may write; on a machine of systemd's for the group that it delegated to us.
func (m machine) findIn(s *subtree) (string, error) {
	if s.mount.readOnly {
		return "", m.unavailable(s.mount.point+" is mounted read-only", "mount -o remount,rw "+s.mount.point)
	}
	if m.systemd {
		return m.findDelegated(s)
	}
	var why error
	for _, group := range downTo("/", s.own) {
		if why = m.writable(s.dir(group)); why == nil {
			return group, nil
		}
	}
	return "", m.unavailable(fmt.Sprintf("user %d may write no cgroup from %s down to %s (%v)", m.uid, s.mount.point, s.dir(s.own), bare(why)), m.chownRemedy(s))
}

// findDelegated takes the nearest delegated group. That of a user manager is the manager's own, as is the root of the hierarchy: systemd is in there itself.
func (m machine) findDelegated(s *subtree) (string, error) {
	const remedy = "put reconciler into a group of its own: "
	command := "systemd-run --scope -p Delegate=yes reconciler run ..., or where systemd is 254 or newer install-service"
	if m.uid != 0 {
		command = "systemd-run --user --scope -p Delegate=yes reconciler run ..., or where systemd is 254 or newer install-service"
	}
	for _, group := range slices.Backward(downTo("/", s.own)) {
		base := path.Base(group)
		manager := group == "/" || strings.HasPrefix(base, "user@") && strings.HasSuffix(base, ".service")
		if group != s.own && manager {
			break
		}
		switch ours, err := m.delegated(s.dir(group)); {
		case err != nil:
			return "", err
		case !ours:
			continue
		}
		if err := m.writable(s.dir(group)); err != nil {
			return "", m.unavailable(fmt.Sprintf("user %d may not write %s, which systemd delegated to another one (%v)", m.uid, s.dir(group), bare(err)), remedy+command)
		}
		return group, nil
	}
	return "", m.unavailable("systemd keeps the cgroups of this machine, and our group, "+s.own+", isn't delegated", remedy+command)
}

// bare is an error without the path that the message names already.
func bare(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

func (m machine) unavailable(reason, remedy string) error {
	return &drivers.Unavailable{Kind: spec.DriverCgroup, Reason: reason, Remedy: remedy}
}

// mountRemedy mounts cgroup2 where it usually is: beside the controllers of v1, if there are some.
func (m machine) mountRemedy() string {
	if len(parseMounts(m.mountinfo).v1) > 0 {
		return "as root: mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified"
	}
	return "as root: mount -t cgroup2 cgroup2 /sys/fs/cgroup"
}

// chownRemedy gives a group to the user, with the files that a delegation takes and all controllers, and puts the user's shell into a leaf of it. See "Delegation" in cgroup-v2.rst.
func (m machine) chownRemedy(s *subtree) string {
	if m.uid == 0 {
		return ""
	}
	g := filepath.Join(s.mount.point, fmt.Sprintf("user-%d", m.uid))
	return fmt.Sprintf("as root: mkdir -p %[1]s/shell && chown %[2]d %[1]s %[1]s/cgroup.procs %[1]s/cgroup.subtree_control %[1]s/shell %[1]s/shell/cgroup.procs && "+
		"for c in $(cat %[3]s/cgroup.controllers); do echo +$c > %[3]s/cgroup.subtree_control; done; then for each of its shells, as root: echo PID > %[1]s/shell/cgroup.procs", g, m.uid, s.mount.point)
}

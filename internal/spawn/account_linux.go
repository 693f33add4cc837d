package spawn

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrNotPermitted is what asking for an account wraps that this process may not become.
var ErrNotPermitted = errors.New("not permitted")

// LookupAccount finds a user and a group, each by name or number. An empty user is that of this process, an empty group is the user's primary one. An account that
// this process may not become gives an error that wraps ErrNotPermitted; become says whether a process must change to be that account.
func LookupAccount(userName, group string) (a *Account, become bool, err error) {
	me, mine := os.Geteuid(), os.Getegid()
	a, err = byName(userName, me, mine, group != "")
	if err != nil {
		return nil, false, err
	}
	if group != "" {
		if a.GID, err = groupID(group); err != nil {
			return nil, false, err
		}
	}
	become = int(a.UID) != me || int(a.GID) != mine || (userName != "" && me == 0)
	if become && me != 0 {
		return nil, false, fmt.Errorf("run as user %s, group %d, while reconciler runs as user %d, group %d: %w: only root may do that; run reconciler as root, or leave user and group out",
			a.Name, a.GID, me, mine, ErrNotPermitted)
	}
	if len(a.Groups) == 0 && become {
		a.Groups = []uint32{a.GID}
	}
	return a, become, nil
}

// byName returns the account of a user; without a name, that of this process with the groups it has.
func byName(name string, me, mine int, hasGroup bool) (*Account, error) {
	if name == "" {
		a := named(strconv.Itoa(me))
		a.UID, a.GID = uint32(me), uint32(mine)
		groups, err := os.Getgroups()
		if err != nil {
			return nil, fmt.Errorf("read the own groups: %w", err)
		}
		for _, g := range groups {
			a.Groups = append(a.Groups, uint32(g))
		}
		return a, nil
	}
	u, err := user.Lookup(name)
	uid, numErr := strconv.ParseUint(name, 10, 32)
	if err != nil && numErr == nil {
		u, err = user.LookupId(name)
	}
	switch {
	case err != nil && numErr == nil && hasGroup:
		a := named(name)
		a.UID = uint32(uid)
		return a, nil
	case err != nil && numErr == nil:
		return nil, fmt.Errorf("user %s has no account on this host, and so no primary group: give a group as well, or make the account", name)
	case err != nil:
		return nil, fmt.Errorf("there is no user %q on this host: make the account, or correct the name", name)
	}
	return fromUser(u)
}

func fromUser(u *user.User) (*Account, error) {
	a := named(u.Uid)
	a.Name, a.Home = u.Username, u.HomeDir
	for _, f := range []struct {
		text string
		id   *uint32
	}{{u.Uid, &a.UID}, {u.Gid, &a.GID}} {
		v, err := strconv.ParseUint(f.text, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("read account %s: %w", u.Username, err)
		}
		*f.id = uint32(v)
	}
	ids, err := u.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("read the groups of %s: %w", u.Username, err)
	}
	for _, id := range ids {
		if v, err := strconv.ParseUint(id, 10, 32); err == nil {
			a.Groups = append(a.Groups, uint32(v))
		}
	}
	slices.Sort(a.Groups)
	return a, nil
}

func groupID(name string) (uint32, error) {
	if g, err := user.LookupGroup(name); err == nil {
		name = g.Gid
	}
	v, err := strconv.ParseUint(name, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("there is no group %q on this host: make it, or correct the name", name)
	}
	return uint32(v), nil
}

// named fills in name, home and shell from passwd(5) by the user's number. One without an entry is called by its number.
func named(uid string) *Account {
	a := &Account{Name: uid, Home: "/", Shell: "/bin/sh"}
	file, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return a // a host may keep its accounts elsewhere
	}
	for line := range bytes.Lines(file) {
		f := strings.Split(strings.TrimSuffix(string(line), "\n"), ":")
		if len(f) == 7 && f[2] == uid {
			a.Name, a.Home = f[0], f[5]
			if f[6] != "" {
				a.Shell = f[6]
			}
			return a
		}
	}
	return a
}

// MayExecute asks the kernel whether an account, nil for that of this process, may execute a file or enter a directory.
func MayExecute(a *Account, path string) (err error) {
	if a == nil {
		return mayExecute(path)
	}
	onLostThread(func() { err = asAccount(a, path) })
	return err
}

// asAccount changes the calling thread alone, which Go's own functions wouldn't. Giving up user 0 for files gives up the privileges over files as well.
func asAccount(a *Account, path string) error {
	groups := slices.Clone(a.Groups)
	if len(groups) == 0 {
		groups = []uint32{a.GID}
	}
	if _, _, errno := unix.RawSyscall(setgroups, uintptr(len(groups)), uintptr(unsafe.Pointer(&groups[0])), 0); errno != 0 {
		return errno
	}
	if err := unix.Setfsgid(int(a.GID)); err != nil {
		return err
	}
	if err := unix.Setfsuid(int(a.UID)); err != nil {
		return err
	}
	return mayExecute(path)
}

// mayExecute asks for the calling thread. A kernel before 5.8 can't be asked; the start will tell.
func mayExecute(path string) error {
	err := unix.Faccessat2(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS)
	if err == unix.ENOSYS {
		return nil
	}
	return err
}

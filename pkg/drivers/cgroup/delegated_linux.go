package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// isDelegated tells whether systemd gave a group to whoever is in it. Its system manager marks the group of a unit with Delegate=: see https://systemd.io/CGROUP_DELEGATION. The
// manager of a user may not, before systemd 254: so it is asked.
func isDelegated(dir string) (bool, error) {
	for _, name := range []string{"user.delegate", "trusted.delegate"} {
		var b [2]byte
		if n, err := unix.Getxattr(dir, name, b[:]); err == nil {
			return string(b[:n]) == "1", nil
		}
	}
	uid, below := userManager(dir)
	if !below || uid != os.Geteuid() {
		return false, nil
	}
	delegated, err := askUserManager(uid, path.Base(dir))
	if err != nil {
		return false, fmt.Errorf("ask the service manager of user %d whether %s is delegated: %w", uid, dir, err)
	}
	return delegated, nil
}

// userManager tells whether a group is below that of a user manager, and of whose.
func userManager(dir string) (uid int, below bool) {
	_, rest, ok := strings.Cut(dir, "/user@")
	id, rest, found := strings.Cut(rest, ".service/")
	uid, err := strconv.Atoi(id)
	return uid, ok && found && rest != "" && err == nil
}

// answerLimit is how long the manager may take to answer.
const answerLimit = 10 * time.Second

// askUserManager asks over the manager's own socket whether a unit has Delegate=: see org.freedesktop.systemd1(5).
func askUserManager(uid int, unit string) (bool, error) {
	kind := map[string]string{".service": "Service", ".scope": "Scope"}[path.Ext(unit)]
	if kind == "" {
		return false, nil // a slice is never delegated
	}
	conn, err := dbus.Dial(fmt.Sprintf("unix:path=/run/user/%d/systemd/private", uid))
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED) {
		return false, nil // there is no manager that could have delegated anything
	}
	if err != nil {
		return false, err
	}
	defer conn.Close()
	defer time.AfterFunc(answerLimit, func() { conn.Close() }).Stop()
	if err := conn.Auth([]dbus.Auth{dbus.AuthExternal("")}); err != nil { // the manager asks the kernel who we are
		return false, err
	}
	const systemd = "org.freedesktop.systemd1"
	manager := conn.Object(systemd, "/org/freedesktop/systemd1")
	var object dbus.ObjectPath
	if err := first(manager, systemd+".Manager.GetUnit", unit).Store(&object); err != nil {
		return false, err
	}
	var delegate bool
	err = conn.Object(systemd, object).StoreProperty(systemd+"."+kind+".Delegate", &delegate)
	return delegate, err
}

// first makes the first call of a connection. Where its message comes so close behind the end of the greeting that the manager reads both at once, it doesn't look at the message
// before another one comes (sd-bus, bus_socket_read_auth); so others come.
func first(o dbus.BusObject, method string, args ...any) *dbus.Call {
	call := o.Go(method, 0, nil, args...)
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		select {
		case c := <-call.Done:
			return c
		case <-again.C:
			o.Go("org.freedesktop.DBus.Peer.Ping", dbus.FlagNoReplyExpected, nil)
		}
	}
}

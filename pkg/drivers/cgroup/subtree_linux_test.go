package cgroup

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

const (
	hybrid = `31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
35 31 0:32 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct
36 31 0:33 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
`
	unified = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
	v1only  = "36 31 0:33 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
)

func TestParseMounts(t *testing.T) {
	m := parseMounts(hybrid + "garbage\n50 1 0:9 /a\\040b /mnt/c\\011d\\134e ro - cgroup2 none rw\n")
	want := []mount{{"/sys/fs/cgroup/unified", "/", false}, {"/mnt/c\td\\e", "/a b", true}}
	if !slices.Equal(m.v2, want) {
		t.Errorf("got %+v, want %+v", m.v2, want)
	}
	for controller, point := range map[string]string{"memory": "/sys/fs/cgroup/memory", "cpu": "/sys/fs/cgroup/cpu,cpuacct", "pids": ""} {
		if m.v1[controller] != point {
			t.Errorf("%s is on %q, want %q", controller, m.v1[controller], point)
		}
	}
	if m := parseMounts(unified + "31 30 0:26 /a /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"); len(m.v2) != 1 || m.v2[0].root != "/a" {
		t.Errorf("of two on one point the later counts: %+v", m.v2)
	}
}

func TestParseOwn(t *testing.T) {
	for text, want := range map[string]string{
		"9:name=systemd:/\n4:memory:/x\n0::/\n": "/",
		"0::/user.slice/a:b.scope\n":            "/user.slice/a:b.scope",
		"0::/gone (deleted)\n":                  "/gone",
		"0::/../above\n":                        "/../above",
		"4:memory:/x\n":                         "",
		"":                                      "",
	} {
		if got := parseOwn(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestWithin(t *testing.T) {
	for _, c := range []struct {
		root, group, want string
		ok                bool
	}{
		{"/", "/", "/", true},
		{"/", "/a/b", "/a/b", true},
		{"/a", "/a", "/", true},
		{"/a", "/a/b", "/b", true},
		{"/a", "/ab", "", false},
		{"/a", "/", "", false},
		{"/..", "/..", "/", true},
		{"/..", "/../x", "/x", true},
		{"/", "/../x", "", false},
		{"", "/x", "/x", true},
		{"/", "x", "", false},
	} {
		m := mount{root: c.root}
		got, ok := m.within(c.group)
		if got != c.want || ok != c.ok {
			t.Errorf("%s in %s: got %q, %v, want %q, %v", c.group, c.root, got, ok, c.want, c.ok)
		}
		if ok && c.root != "" && m.group(got) != c.group {
			t.Errorf("%s in %s: back it is %q", c.group, c.root, m.group(got))
		}
	}
}

// FuzzParse: what the kernel would never write does no harm, and what lies within a mount leads nowhere else.
func FuzzParse(f *testing.F) {
	f.Add(hybrid, "0::/a/b\n")
	f.Add(unified, "0::/../x")
	f.Fuzz(func(t *testing.T, mountinfo, own string) {
		group := parseOwn(own)
		for _, m := range parseMounts(mountinfo).v2 {
			if rel, ok := m.within(group); ok && (!strings.HasPrefix(rel, "/") || slices.Contains(strings.Split(rel, "/"), "..")) && !slices.Contains(strings.Split(m.root, "/"), "..") {
				t.Errorf("%q in %q is %q", group, m.root, rel)
			}
		}
	})
}

func TestFind(t *testing.T) {
	all := func(string) error { return nil }
	only := func(dirs ...string) func(string) error {
		return func(dir string) error {
			if slices.Contains(dirs, dir) {
				return nil
			}
			return unix.EACCES
		}
	}
	delegated := func(dirs ...string) func(string) (bool, error) {
		return func(dir string) (bool, error) { return slices.Contains(dirs, dir), nil }
	}
	const session, manager = "/user.slice/user-1000.slice/session-2.scope", "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service"
	for name, c := range map[string]struct {
		machine
		want string // the group; empty: there is none
		says []string
	}{
		"root, without systemd": {machine{unified, "0::/a/b", 0, false, nil, all}, "/", nil},
		"root, hybrid":          {machine{hybrid, "0::/", 0, false, nil, only("/sys/fs/cgroup/unified")}, "/", nil},
		"a user's part":         {machine{unified, "0::/u/shell", 1000, false, nil, only("/sys/fs/cgroup/u", "/sys/fs/cgroup/u/shell")}, "/u", nil},
		"a user without one": {machine{unified, "0::/a", 1000, false, nil, only()}, "",
			[]string{"user 1000 may write no cgroup from /sys/fs/cgroup down to /sys/fs/cgroup/a (permission denied)", "chown 1000 /sys/fs/cgroup/user-1000"}},
		"nothing mounted":     {machine{"", "0::/", 0, false, nil, all}, "", []string{"no cgroup2 file system", "mount -t cgroup2 cgroup2 /sys/fs/cgroup"}},
		"only v1 mounted":     {machine{v1only, "0::/", 0, false, nil, all}, "", []string{"mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified"}},
		"mounted read-only":   {machine{strings.Replace(unified, "rw,nosuid", "ro,nosuid", 1), "0::/", 0, false, nil, all}, "", []string{"read-only", "remount"}},
		"no v2 in the kernel": {machine{unified, "4:memory:/", 0, false, nil, all}, "", []string{"no group of cgroup v2"}},
		"a mount that doesn't show us": {machine{strings.Replace(unified, " / /sys", " /x /sys", 1), "0::/y", 0, false, nil, all}, "",
			[]string{"shows our own group, /y"}},
		"systemd, not delegated": {machine{unified, "0::/system.slice/ssh.service", 0, true, delegated(), all}, "",
			[]string{"/system.slice/ssh.service, isn't delegated", "systemd-run --scope -p Delegate=yes"}},
		"systemd, delegated":       {machine{unified, "0::/system.slice/r.service", 0, true, delegated("/sys/fs/cgroup/system.slice/r.service"), all}, "/system.slice/r.service", nil},
		"systemd, delegated above": {machine{unified, "0::/system.slice/r.service/leaf", 0, true, delegated("/sys/fs/cgroup/system.slice/r.service"), all}, "/system.slice/r.service", nil},
		"systemd, delegated to another one": {machine{unified, "0::/system.slice/r.service", 7, true, delegated("/sys/fs/cgroup/system.slice/r.service"), only()}, "",
			[]string{"user 7 may not write", "delegated to another one"}},
		"systemd, a session": {machine{unified, "0::" + session, 1000, true, delegated(manager), all}, "", []string{"systemd-run --user --scope -p Delegate=yes"}},
		"systemd, in what is the user manager's": {machine{unified, "0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.scope", 1000, true, delegated(manager), all}, "",
			[]string{"isn't delegated"}},
		"systemd, delegated by a user manager": {machine{unified, "0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.scope", 1000, true,
			delegated(manager, manager+"/app.slice/x.scope"), all}, "/user.slice/user-1000.slice/user@1000.service/app.slice/x.scope", nil},
		"systemd, the root of a machine in a machine": {machine{unified, "0::/init.scope", 0, true, delegated("/sys/fs/cgroup"), all}, "", []string{"isn't delegated"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := c.find()
			var lack *drivers.Unavailable
			if c.want != "" {
				if err != nil || s.rel != c.want {
					t.Errorf("got %+v, %v, want %s", s, err, c.want)
				}
				return
			}
			if !errors.As(err, &lack) || !errors.Is(err, drivers.ErrUnsupported) || lack.Kind != spec.DriverCgroup {
				t.Fatalf("got %v", err)
			}
			for _, says := range c.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("got %q, want %q", err, says)
				}
			}
		})
	}
}

// TestNotKnownIsNotNo: where it can't be told whether a group is delegated, that is neither yes nor no.
func TestNotKnownIsNotNo(t *testing.T) {
	m := machine{unified, "0::/a.scope", 0, true, func(string) (bool, error) { return false, unix.ETIMEDOUT }, func(string) error { return nil }}
	if _, err := m.find(); !errors.Is(err, unix.ETIMEDOUT) || errors.Is(err, drivers.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
}

func TestUserManager(t *testing.T) {
	for dir, want := range map[string]int{
		"/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice/x.scope": 1000,
		"/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service":                   -1,
		"/sys/fs/cgroup/user.slice/user-1000.slice/session-1.scope":                     -1,
		"/sys/fs/cgroup/user.slice/user@x.service/a":                                    -1,
	} {
		uid, below := userManager(dir)
		if below != (want >= 0) || below && uid != want {
			t.Errorf("%s: got %d, %v", dir, uid, below)
		}
	}
}

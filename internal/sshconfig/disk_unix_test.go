//go:build unix

package sshconfig

import (
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestAGroupOfOne(t *testing.T) {
	passwd, group := filepath.Join(t.TempDir(), "passwd"), filepath.Join(t.TempDir(), "group")
	writeFile(t, passwd, "root:x:0:0::/root:/bin/sh\nbob:x:1000:1000::/home/bob:/bin/sh\neve:x:1001:100::/:/bin/sh\njoe:x:1002:100::/:/bin/sh\n+\n")
	writeFile(t, group, "root:x:0:\nbob:x:1000:bob\nusers:x:100:\nsome:x:101:bob\nmore:x:102:bob,eve\nnone:x:103:\n+\n")
	for gid, want := range map[uint32]bool{1000: true, 101: true, 0: false, 100: false, 102: false, 103: false, 4711: false} {
		if got := alone(passwd, group, 1000, gid); got != want {
			t.Errorf("group %d: got %v", gid, got)
		}
	}
	if alone(passwd, group, 4711, 1000) || alone(passwd+"x", group, 1000, 1000) || alone(passwd, group+"x", 1000, 1000) {
		t.Error("what can't be told is taken for true")
	}
}

func TestWhatIsNoFileIsNotWaitedFor(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := (Disk{}).Read(pipe, false); err == nil || !strings.Contains(err.Error(), "neither a file nor a directory") {
		t.Errorf("a pipe: %v", err)
	}
	for _, empty := range []string{dir, os.DevNull} {
		if content, err := (Disk{}).Read(empty, false); err != nil || len(content) > 0 {
			t.Errorf("%s: %q, %v", empty, content, err)
		}
	}
}

func TestGlobIsThatOfTheShell(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.conf", "b.conf", ".hidden.conf", "sub/c.conf", ".sub/d.conf", "we[ird", "x-1"} {
		writeFile(t, filepath.Join(dir, name), "")
	}
	for pattern, want := range map[string][]string{
		"*.conf":        {"a.conf", "b.conf"},
		".*.conf":       {".hidden.conf"},
		"[!b].conf":     {"a.conf"},
		"?.conf":        {"a.conf", "b.conf"},
		"*/*.conf":      {"sub/c.conf"},
		".sub/*":        {".sub/d.conf"},
		".hidden.conf":  {".hidden.conf"},
		"we[ird":        {"we[ird"},
		"no[where":      nil,
		"none":          nil,
		"{a,b}.conf":    nil,
		"../" + "none*": nil,
	} {
		found, err := Disk{}.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Errorf("%s: %v", pattern, err)
		}
		var got []string
		for _, f := range found {
			got = append(got, strings.TrimPrefix(f, dir+"/"))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", pattern, got, want)
		}
	}
}

func TestHereHasTheHomeOfTheEnvironment(t *testing.T) {
	account, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	for home, want := range map[string]string{"/elsewhere": "/elsewhere", "": account.HomeDir, "relative": account.HomeDir} {
		t.Setenv("HOME", home)
		c, p, err := Here()
		if err != nil || c.Home != want || p.User != want+"/.ssh/config" || p.UserDir != want+"/.ssh" {
			t.Errorf("%s: %+v, %+v, %v", home, c, p, err)
		}
	}
}

func TestHereIsThisUser(t *testing.T) {
	c, p, err := Here()
	if err != nil {
		t.Fatal(err)
	}
	if c.User == "" || c.Home == "" || c.HostName == "" || p.User != filepath.Join(c.Home, ".ssh", "config") || p.System != "/etc/ssh/ssh_config" {
		t.Errorf("%+v, %+v", c, p)
	}
	if home, ok := c.HomeOf("root"); !ok || home == "" {
		t.Error("root has no home")
	}
	if _, ok := c.HomeOf("no-such-user"); ok {
		t.Error("nobody has a home")
	}
}

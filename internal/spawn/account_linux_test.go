package spawn

import (
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestLookupAccount(t *testing.T) {
	me, become, err := LookupAccount("", "")
	if err != nil || become || int(me.UID) != os.Geteuid() || me.Home == "" || me.Shell == "" {
		t.Errorf("ourselves: %+v, %v, %v", me, become, err)
	}
	for name, want := range map[[2]string]string{
		{"no-such-user", ""}:  `there is no user "no-such-user"`,
		{"", "no-such-group"}: `there is no group "no-such-group"`,
		{"4123456", ""}:       "give a group as well",
	} {
		if _, _, err := LookupAccount(name[0], name[1]); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", name, err, want)
		}
	}
	a, become, err := LookupAccount(map[bool]string{true: "nobody", false: "root"}[os.Geteuid() == 0], "")
	if os.Geteuid() != 0 {
		if !errors.Is(err, ErrNotPermitted) {
			t.Errorf("nobody, asked for by somebody: %v", err)
		}
		return
	}
	if err != nil || !become || a.UID == 0 || a.Name != "nobody" || len(a.Groups) == 0 {
		t.Errorf("nobody: %+v, %v, %v", a, become, err)
	}
	if a, become, err = LookupAccount("4123456", "7"); err != nil || !become || a.UID != 4123456 || a.GID != 7 || !slices.Equal(a.Groups, []uint32{7}) {
		t.Errorf("a number without an account: %+v, %v, %v", a, become, err)
	}
}

// TestBecome needs root: nobody else can become somebody.
func TestBecome(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("run as root to see the other half of this test")
		if _, _, err := LookupAccount("root", ""); !errors.Is(err, ErrNotPermitted) {
			t.Errorf("root, asked for by somebody: %v", err)
		}
		return
	}
	s := newSpawner(t)
	c := script("id -u; id -g; id -G; cat /etc/shadow >/dev/null 2>&1 && echo root")
	c.Account = &Account{UID: 65534, GID: 65533, Groups: []uint32{65533, 10, 11}}
	for name, c := range ways(c) {
		if text, _ := output(t, s, c); text != "65534\n65533\n65533 10 11\n" {
			t.Errorf("%s: %q", name, text)
		}
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{"/bin/sh": nil, "/etc/shadow": syscall.EACCES, dir: syscall.EACCES, "/": nil, "/nowhere": syscall.ENOENT} {
		if err := MayExecute(c.Account, path); !errors.Is(err, want) {
			t.Errorf("MayExecute %s: %v, want %v", path, err, want)
		}
	}
	if err := MayExecute(nil, dir); err != nil {
		t.Errorf("we kept the account of somebody else: %v", err)
	}
}

package sshconfig

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestFilesThatOthersMayWriteAreRefused(t *testing.T) {
	for _, c := range []struct {
		name  string
		mode  os.FileMode
		owner int
		want  string
	}{
		{"mine", 0o600, os.Getuid(), ""},
		{"readable by all", 0o644, os.Getuid(), ""},
		{"writable by the group", 0o620, os.Getuid(), "may be written by others (mode 0620)"},
		{"writable by all", 0o606, os.Getuid(), "may be written by others (mode 0606)"},
		{"a stranger's", 0o600, 4711, "belongs to the user with id 4711"},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "config")
			writeFile(t, name, "Port 22\n")
			if err := os.Chown(name, c.owner, -1); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(name, c.mode); err != nil {
				t.Fatal(err)
			}
			_, err := Disk{}.Read(name, true)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if content, err := (Disk{}).Read(name, false); err != nil || string(content) != "Port 22\n" {
				t.Errorf("where it doesn't matter: %q, %v", content, err)
			}
		})
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

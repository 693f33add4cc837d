package sshconfig

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/test/labhost"
)

func TestMain(m *testing.M) { labhost.Main(m) }

// TestHomeOfARealUser is on a host of its own, where ~/.ssh and /etc/ssh may be written.
func TestHomeOfARealUser(t *testing.T) {
	labhost.Test(t, labhost.Bare, func(t *testing.T) {
		t.Run("both files, and the directories that Include starts from", func(t *testing.T) {
			writeFile(t, "/root/.ssh/config", "Include d/*\nUser user\nHost gpu\nIdentityFile ~/.ssh/%n_%r\nCertificateFile ~/.ssh/cert-%p\n")
			writeFile(t, "/root/.ssh/d/one", "Match host gpu\nPort 2001\n")
			writeFile(t, "/root/.ssh/d/.hidden", "Port 2002\n")
			writeFile(t, "/root/.ssh/d/directory/two", "Port 2003\n")
			writeFile(t, "/etc/ssh/ssh_config", "Include ssh_config.d/*.conf\nUser machine\nPort 2004\nIdentityFile /etc/ssh/%u@%L\nSendEnv LANG\n")
			writeFile(t, "/etc/ssh/ssh_config.d/a.conf", "HostKeyAlias machine\nUserKnownHostsFile ~/kh-%k /kh2\n")
			compareHome(t, "gpu")
			compareHome(t, "other")
		})
		t.Run("who may write them", func(t *testing.T) {
			for _, name := range []string{"/root/.ssh/config", "/root/.ssh/d/one", "/etc/ssh/ssh_config.d/a.conf", "/etc/ssh/ssh_config"} {
				for _, change := range []func() error{
					func() error { return os.Chmod(name, 0o666) },
					func() error { return os.Chmod(name, 0o664) },
					func() error { return os.Chmod(name, 0o600) },
					func() error { return os.Chown(name, 1000, 0) },
					func() error { return os.Chown(name, 0, 1000) },
					func() error { return os.Chmod(name, 0o660) },
					func() error { return os.Chown(name, 0, 0) },
				} {
					if err := change(); err != nil {
						t.Fatal(err)
					}
					compareHome(t, "gpu")
				}
			}
		})
	})
}

func TestFilesThatOthersMayWriteAreRefused(t *testing.T) {
	labhost.Test(t, labhost.Bare, othersMayWrite)
}

func othersMayWrite(t *testing.T) {
	for _, c := range []struct {
		name  string
		mode  os.FileMode
		owner int
		want  string
	}{
		{"mine", 0o600, os.Getuid(), ""},
		{"readable by all", 0o644, os.Getuid(), ""},
		{"writable by a group", 0o620, os.Getuid(), "may be written by others (mode 0620)"},
		{"writable by all", 0o606, os.Getuid(), "may be written by others (mode 0606)"},
		{"a stranger's", 0o600, 4711, "belongs to the user with id 4711"},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "config")
			writeFile(t, name, "Port 22\n")
			if err := os.Chown(name, c.owner, 4711); err != nil {
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

// compareHome compares what we make of the files of this user and machine with what ssh makes of them, and the files that ssh would then open.
func compareHome(t *testing.T, host string) {
	t.Helper()
	want, accepted, said := run(t, exec.Command("ssh", "-G", host))
	c, p, err := Here()
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := Load(Disk{}, p, c)
	if err != nil || !accepted {
		if accepted || err == nil {
			t.Errorf("ssh says %q, and we say %v", said, err)
		}
		return
	}
	raw, err := loaded.read(Query{Host: host}, c)
	if err != nil {
		t.Fatal(err)
	}
	s, err := loaded.Resolve(Query{Host: host}, c)
	if err != nil {
		t.Fatal(err)
	}
	if diff := compare(t, raw, s, want); diff != "" {
		t.Errorf("%s: -ssh +ours\n%s", host, diff)
	}
	if diff := cmp.Diff(opened(t, host), append(s.IdentityFiles, s.CertificateFiles...)); diff != "" {
		t.Errorf("%s: key files -ssh +ours\n%s", host, diff)
	}
}

// opened are the key files that ssh looks for when it connects, less the certificates that it looks for beside them.
func opened(t *testing.T, host string) []string {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command("ssh", "-v", "-o", "ProxyCommand=true", "-o", "BatchMode=yes", host)
	cmd.Stderr = &stderr
	if err := cmd.Run(); err == nil {
		t.Fatal("ssh came to a host")
	}
	var files []string
	for _, m := range regexp.MustCompile(`(?m)^debug1: (?:identity|certificate) file (\S+) type -?\d+`).FindAllStringSubmatch(stderr.String(), -1) {
		if !strings.HasSuffix(m[1], "-cert") || filepath.Ext(m[1]) == ".pub" {
			files = append(files, m[1])
		}
	}
	return files
}

//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// machine is a PATH of stand-ins that hack/deps.sh runs with: nothing of this machine is looked at or changed, as the command it asks for exists nowhere.
type machine struct{ bin, log string }

const wanted = "daemon-that-exists-nowhere"

func newMachine(t *testing.T, uid, aptGet string) machine {
	t.Helper()
	m := machine{bin: t.TempDir(), log: filepath.Join(t.TempDir(), "log")}
	for _, tool := range []string{"mktemp", "rm", "chmod", "cat"} {
		real, err := exec.LookPath(tool)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(real, filepath.Join(m.bin, tool)); err != nil {
			t.Fatal(err)
		}
	}
	m.add(t, "id", "echo "+uid)
	if aptGet != "" {
		m.add(t, "apt-get", aptGet)
	}
	return m
}

func (m machine) add(t *testing.T, name, script string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(m.bin, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// deps runs hack/deps.sh there.
func (m machine) deps(t *testing.T) (said string, ok bool) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "../deps.sh", wanted)
	cmd.Env = []string{"PATH=" + m.bin, "TMPDIR=" + t.TempDir(), "BIN=" + m.bin, "LOG=" + m.log, "WANTED=" + wanted}
	out, err := cmd.CombinedOutput()
	return string(out), err == nil
}

func TestDepsAreThere(t *testing.T) {
	m := newMachine(t, "1000", "")
	m.add(t, wanted, ":")
	if said, ok := m.deps(t); !ok || said != "" {
		t.Errorf("ok %v, said %q", ok, said)
	}
}

func TestDepsSayWhatIsMissing(t *testing.T) {
	for name, tt := range map[string]struct {
		uid, aptGet, want string
	}{
		"no apt":   {"0", "", "hack/deps.sh: missing: " + wanted + ". Install them with this system's package manager (Debian calls them: " + wanted + "), then run this again.\n"},
		"not root": {"1000", "exit 0", "hack/deps.sh: missing: " + wanted + ". Install them, then run this again:  sudo hack/deps.sh " + wanted + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if said, ok := newMachine(t, tt.uid, tt.aptGet).deps(t); ok || said != tt.want {
				t.Errorf("ok %v, said\n%swant\n%s", ok, said, tt.want)
			}
		})
	}
}

// A package's script finds the helpers that would start or enable its service in the PATH that dpkg is given; those there do nothing.
func TestDepsStartNoService(t *testing.T) {
	m := newMachine(t, "0", `
echo "$1" >>"$LOG"
[ "$1" = install ] || exit 0
for arg; do case $arg in DPkg::Path=*) path=${arg#DPkg::Path=} ;; esac; done
shim=${path%%:*}
for helper in invoke-rc.d deb-systemd-invoke deb-systemd-helper update-rc.d; do
  "$shim/$helper" redis-server start && echo "$helper does nothing" >>"$LOG"
done
echo "$shim" >>"$LOG.shim"
printf '#!/bin/sh\n' >"$BIN/$WANTED"
chmod 755 "$BIN/$WANTED"`)
	if said, ok := m.deps(t); !ok {
		t.Fatalf("said %s", said)
	}
	log, err := os.ReadFile(m.log)
	if err != nil {
		t.Fatal(err)
	}
	want := "update\ninstall\ninvoke-rc.d does nothing\ndeb-systemd-invoke does nothing\ndeb-systemd-helper does nothing\nupdate-rc.d does nothing\n"
	if string(log) != want {
		t.Errorf("apt-get saw\n%swant\n%s", log, want)
	}
	shim, err := os.ReadFile(m.log + ".shim")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(strings.TrimSpace(string(shim))); !os.IsNotExist(err) {
		t.Errorf("the stand-ins are left in %s", shim)
	}
}

func TestDepsDontBelieveApt(t *testing.T) {
	if said, ok := newMachine(t, "0", "exit 0").deps(t); ok || !strings.Contains(said, "there is no "+wanted) {
		t.Errorf("ok %v, said %q", ok, said)
	}
	if said, ok := newMachine(t, "0", "echo no network >&2; exit 100").deps(t); ok || !strings.Contains(said, "no network") {
		t.Errorf("ok %v, said %q", ok, said)
	}
}

package e2e

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"reconciler.dev/reconciler/test/labhost"
)

const sleepers = `apiVersion: reconciler.dev/v1
kind: DaemonSpec
metadata: {name: web}
spec:
  binary: /bin/sleep
  args: ["1000001"]
---
apiVersion: reconciler.dev/v1
kind: DaemonSpec
metadata: {name: db}
spec:
  binary: /bin/sleep
  args: ["1000002"]
`

const ownUnit = "/etc/systemd/system/reconciler.service"

// TestInstallService keeps plain processes by a boot service: they outlive its restart and its stop, they are healed, and after a reboot they are back.
func TestInstallService(t *testing.T) {
	t.Parallel()
	h := newRemote(t, labhost.Systemd)
	h.put("/etc/daemons/all.yaml", sleepers)
	install := []string{"reconciler", "install-service", "-f", "/etc/daemons", "--drivers", "process"}

	unit := h.ok(append(install, "--dry-run")...).stdout
	if _, err := h.Get(ownUnit); err == nil {
		t.Fatal("a dry run installed it")
	}
	if said := h.ok(install...).stdout; said != "service/reconciler created\n" {
		t.Errorf("installed: %q", said)
	}
	if text, err := h.Get(ownUnit); err != nil || string(text) != unit {
		t.Errorf("the unit isn't what the dry run printed (%v):\n%s", err, text)
	}
	first := h.untilRunning("web", "db")
	if d := first["web"].Driver; d != "process" {
		t.Errorf("web is run by %s", d)
	}
	for _, verb := range []string{"restart", "stop", "start"} {
		h.ok("systemctl", verb, "reconciler")
		if now := h.get(); now["web"].PID != first["web"].PID || now["db"].PID != first["db"].PID || now["web"].Phase != "Running" {
			t.Errorf("systemctl %s reconciler didn't leave the daemons alone: %+v, then %+v", verb, first, now)
		}
	}
	if said := h.ok(install...).stdout; said != "service/reconciler unchanged\n" {
		t.Errorf("installed again: %q", said)
	}
	h.ok("kill", "-9", strconv.Itoa(first["db"].PID))
	h.until("db is healed", func() bool { now := h.get()["db"]; return now.Phase == "Running" && now.PID != first["db"].PID })

	if err := h.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := h.untilRunning("web", "db")
	if said := h.ok(append(install, "--prune")...).stdout; said != "service/reconciler configured\n" {
		t.Errorf("installed with another argument: %q", said)
	}
	if command := h.ok("systemctl", "show", "-p", "ExecStart", "reconciler").stdout; !strings.Contains(command, "--prune") {
		t.Errorf("the changed command isn't in force: %s", command)
	}
	if now := h.untilRunning("web", "db"); now["web"].PID != again["web"].PID {
		t.Error("a changed service restarted the daemons")
	}

	if said := h.ok("reconciler", "uninstall-service").stdout; said != "service/reconciler deleted\n" {
		t.Errorf("uninstalled: %q", said)
	}
	if load := h.ok("systemctl", "show", "-p", "LoadState", "reconciler").stdout; load != "LoadState=not-found\n" {
		t.Errorf("after it was uninstalled: %s", load)
	}
	if now := h.get(); now["web"].PID != again["web"].PID || now["web"].Phase != "Running" {
		t.Errorf("uninstalled, and web is %+v", now["web"])
	}
	if said := h.ok("reconciler", "uninstall-service").stdout; said != "service/reconciler unchanged\n" {
		t.Errorf("uninstalled again: %q", said)
	}
	h.ok("reconciler", "delete", "web", "db")
}

// TestInstallServiceTouchesNoOtherUnit finds a unit of that name that somebody else wrote.
func TestInstallServiceTouchesNoOtherUnit(t *testing.T) {
	t.Parallel()
	h := newRemote(t, labhost.Systemd)
	h.put("/etc/daemons/all.yaml", sleepers)
	const theirs = "[Service]\nExecStart=/bin/sleep 1000003\n"
	for _, path := range []string{ownUnit, "/usr/local/lib/systemd/system/reconciler.service"} {
		h.put(path, theirs)
		if a := h.run("reconciler", "install-service", "-f", "/etc/daemons"); a.code != 6 || !strings.Contains(a.stderr, path) {
			t.Errorf("install: exit %d, %s", a.code, a.stderr)
		}
		if a := h.run("reconciler", "uninstall-service"); a.code != 6 {
			t.Errorf("uninstall: exit %d, %s", a.code, a.stderr)
		}
		if text, err := h.Get(path); err != nil || string(text) != theirs {
			t.Errorf("%s was touched: %s (%v)", path, text, err)
		}
		h.ok("rm", path)
	}
}

// TestInstallServiceOfAUser keeps the daemons of somebody who isn't root by her own service manager, which lingers.
func TestInstallServiceOfAUser(t *testing.T) {
	t.Parallel()
	h := newRemote(t, labhost.SystemdUser)
	h.user = "alice"
	h.put("/etc/daemons/all.yaml", sleepers)
	h.ok("reconciler", "install-service", "-f", "/etc/daemons", "--drivers", "process")
	first := h.untilRunning("web", "db")
	h.ok("systemctl", "--user", "restart", "reconciler")
	if now := h.get(); now["web"].PID != first["web"].PID {
		t.Error("a restart didn't leave the daemons alone")
	}
	if err := h.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.untilRunning("web", "db")
	h.ok("reconciler", "uninstall-service")
	h.ok("reconciler", "delete", "web", "db")
}

// TestInstallServiceInASubgroup keeps daemons in cgroups below the service, where systemd can start it again all the same: by DelegateSubgroup=. They outlive its restart and
// its kill, they are healed, and after a reboot they are back.
func TestInstallServiceInASubgroup(t *testing.T) {
	t.Parallel()
	h := newRemote(t, labhost.SystemdNext)
	h.put("/etc/daemons/all.yaml", sleepers)
	h.ok("reconciler", "install-service", "-f", "/etc/daemons", "--drivers", "cgroup")
	const group = "/sys/fs/cgroup/system.slice/reconciler.service"
	kept := func() map[string]status {
		now := h.untilRunning("web", "db")
		if d := now["web"].Driver; d != "cgroup" {
			t.Errorf("web is run by %s", d)
		}
		for file, want := range map[string]string{"reconciler-self": h.ok("systemctl", "show", "-P", "MainPID", "reconciler").stdout, "reconciler.slice/web": fmt.Sprintln(now["web"].PID)} {
			if pids := h.ok("cat", group+"/"+file+"/cgroup.procs").stdout; pids != want {
				t.Errorf("in %s is %q, want %q", file, pids, want)
			}
		}
		return now
	}
	first := kept()
	h.ok("systemctl", "restart", "reconciler")
	h.ok("systemctl", "kill", "--signal=KILL", "--kill-whom=main", "reconciler")
	h.until("systemd has started it again", func() bool {
		return h.ok("systemctl", "show", "-p", "NRestarts,SubState", "reconciler").stdout == "NRestarts=1\nSubState=running\n"
	})
	if now := kept(); now["web"].PID != first["web"].PID || now["db"].PID != first["db"].PID {
		t.Errorf("it didn't leave the daemons alone: %+v, then %+v", first, now)
	}
	h.ok("kill", "-9", strconv.Itoa(first["db"].PID))
	h.until("db is healed", func() bool { now := h.get()["db"]; return now.Phase == "Running" && now.PID != first["db"].PID })
	if err := h.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := kept()
	h.ok("reconciler", "uninstall-service")
	if now := h.get(); now["web"].PID != again["web"].PID || now["web"].Phase != "Running" {
		t.Errorf("uninstalled, and web is %+v", now["web"])
	}
	h.ok("reconciler", "delete", "web", "db")
	if _, err := h.Get(group + "/cgroup.procs"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the group is left: %v", err)
	}
}

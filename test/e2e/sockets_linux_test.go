package e2e

import (
	"errors"
	"syscall"
	"testing"

	"reconciler.dev/reconciler/test/labhost"
)

const heldSleeper = `apiVersion: reconciler.dev/v1
kind: DaemonSpec
metadata: {name: web}
spec:
  binary: /bin/sleep
  args: ["1000001"]
  listen: ["tcp://0.0.0.0:28111", "unix:///run/web/x.sock"]
`

// TestHeldSocketsAfterAReboot: the sockets of a unit are open again before anybody of ours runs, and those of one that a user stopped are not; a delete takes all of them away.
func TestHeldSocketsAfterAReboot(t *testing.T) {
	t.Parallel()
	h := newRemote(t, labhost.Systemd)
	h.put("/etc/daemons/web.yaml", heldSleeper)
	open := func(when string, want bool) {
		t.Helper()
		c, err := h.Dial(t.Context(), "tcp", h.Addr+":28111")
		if err == nil {
			c.Close()
		}
		if (err == nil) != want || err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s: %v, want it open: %v", when, err, want)
		}
		if file := h.run("test", "-S", "/run/web/x.sock"); (file.code == 0) != want {
			t.Errorf("%s: the file of the other socket is there: %v", when, file.code == 0)
		}
	}
	reboot := func() {
		t.Helper()
		if err := h.Reboot(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	h.ok("reconciler", "apply", "--wait", "-f", "/etc/daemons")
	open("applied", true)
	reboot()
	h.untilRunning("web")
	open("after a reboot", true)
	if out := h.ok("reconciler", "apply", "-f", "/etc/daemons").stdout; out != "daemon/web unchanged\n" {
		t.Errorf("after a reboot: %s", out)
	}
	files := h.ok("sh", "-c", "ls -l /proc/$(pgrep -f '^/bin/sleep 100')/fd").stdout
	h.shows("its sockets", files, "3 -> socket:")
	h.shows("its sockets", files, "4 -> socket:")
	h.ok("reconciler", "stop", "web")
	open("stopped", false)
	reboot()
	open("stopped, and after a reboot", false)
	h.ok("reconciler", "start", "web", "--wait")
	open("started again", true)
	h.ok("reconciler", "delete", "web")
	open("deleted", false)
	if left := h.ok("sh", "-c", "ls /etc/systemd/system | grep -E 'web-.*socket|reconciler-listen' || true").stdout; left != "" {
		t.Errorf("units are left: %s", left)
	}
}

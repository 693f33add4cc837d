package e2e

import (
	"strings"
	"testing"

	"reconciler.dev/reconciler/test/labhost"
)

// TestWhatSystemdRestartedWhileNobodyLooked is told by whoever looks next, once, and no more than can be known.
func TestWhatSystemdRestartedWhileNobodyLooked(t *testing.T) {
	t.Parallel()
	h := newRemote(t, labhost.Systemd)
	h.put("/etc/daemons/all.yaml", sleepers)
	h.ok("reconciler", "apply", "--wait", "-f", "/etc/daemons")
	before := h.untilRunning("web")["web"].PID
	h.ok("sh", "-c", "kill -SEGV $(systemctl show -P MainPID web); until [ $(systemctl show -P NRestarts web) = 1 ] && systemctl is-active -q web; do sleep 0.1; done")
	if events := h.ok("reconciler", "events", "--for", "web").stdout; strings.Contains(events, "Exited") {
		t.Errorf("nobody looked, and it says\n%s", events)
	}
	for range 2 {
		h.ok("reconciler", "apply", "--wait", "-f", "/etc/daemons")
		events := h.ok("reconciler", "events", "--for", "web").stdout
		h.shows("events", events, "it ended, and nobody saw how") // systemd forgets it with the restart
		h.shows("events", events, "systemd started it again by itself")
		if n := strings.Count(events, "Exited"); n != 1 {
			t.Errorf("it ended once, and the events say\n%s", events)
		}
	}
	if now := h.untilRunning("web")["web"].PID; now == before {
		t.Error("it wasn't restarted")
	}
	h.ok("reconciler", "events", "--for", "db", "--types", "Warning", "-o", "json")
}

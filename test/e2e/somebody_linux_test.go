package e2e

import (
	"strings"
	"testing"

	"reconciler.dev/reconciler/test/labhost"
)

// TestSomebodyWithoutASession is alice by runuser, as by sudo or a cron job: nothing in her environment names her service manager. It is found all the same, and so is what her daemons
// wrote. Those of root she can't look into.
func TestSomebodyWithoutASession(t *testing.T) {
	t.Parallel()
	h := newRemote(t, labhost.SystemdUser)
	const token = "correct-horse-battery"
	if err := h.Put("/root/token", []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	h.put("/etc/daemons/keyed.yaml", `apiVersion: reconciler.dev/v1
kind: DaemonSpec
metadata: {name: keyed}
spec:
  binary: /bin/sleep
  args: ["1000050"]
  env: {TOKEN: {fromFile: /root/token}}
`)
	h.ok("reconciler", "apply", "--wait", "-f", "/etc/daemons")
	h.put("/srv/hers.yaml", `apiVersion: reconciler.dev/v1
kind: DaemonSpec
metadata: {name: hers}
spec:
  binary: /bin/sh
  args: [-c, "echo up; exec sleep 1000051"]
`)
	alice := func(args ...string) answer {
		t.Helper()
		return h.run(append([]string{"runuser", "-u", "alice", "--", "env", "-i", "HOME=/home/alice", "PATH=/usr/local/bin:/usr/bin:/bin"}, args...)...)
	}
	h.mend(h.is(h.examined(alice("reconciler", "doctor", "-o", "json").stdout), "journal", "WARN"))
	h.is(h.examined(alice("reconciler", "doctor", "-o", "json").stdout), "journal", "OK")
	if a := alice("reconciler", "apply", "--wait", "-f", "/srv/hers.yaml"); a.code != 0 || a.stdout != "daemon/hers created\n" {
		t.Fatalf("apply: exit %d, %s%s", a.code, a.stdout, a.stderr)
	}
	wide := alice("reconciler", "get", "-o", "wide").stdout
	if !strings.Contains(wide, "systemd") || strings.Contains(wide, "keyed") {
		t.Errorf("get: %s", wide)
	}
	h.until("logs has what it wrote", func() bool { return alice("reconciler", "logs", "hers").stdout == "up\n" })
	h.shows("describe", alice("reconciler", "describe", "hers").stdout, "journalctl --user -u hers.service")
	for _, look := range []string{"cat /etc/systemd/system/keyed.service", "cat /proc/$(pgrep -f 'sleep 100005[0]')/environ", "cat /var/lib/reconciler/secrets/*"} {
		if a := alice("sh", "-c", look); a.code == 0 {
			t.Errorf("%s tells alice: %s", look, a.stdout)
		}
	}
	for _, look := range []string{"systemctl show keyed.service", "systemctl cat keyed.service 2>&1", "ps -e -o args", "journalctl --no-pager"} {
		said := h.ok("sh", "-c", look).stdout
		if strings.Contains(said, token) {
			t.Errorf("%s tells the secret", look)
		}
		if digest := strings.Index(alice("sh", "-c", look).stdout, `"digest"`); digest >= 0 {
			t.Errorf("%s tells alice a digest of it", look)
		}
	}
	if err := h.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.until("hers is back", func() bool { return strings.Contains(alice("reconciler", "get").stdout, "Running") })
	if a := alice("reconciler", "delete", "hers"); a.code != 0 {
		t.Errorf("delete: %s", a.stderr)
	}
	h.ok("reconciler", "delete", "keyed")
}

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"reconciler.dev/reconciler/test/labhost"
)

// echoes is a program that answers each line on a connection with itself, in a child of its own.
const echoes = `#!/usr/bin/perl
use IO::Socket::INET;
$SIG{CHLD} = 'IGNORE';
my $s = IO::Socket::INET->new(Listen => 5, LocalAddr => "0.0.0.0:$ARGV[0]", ReuseAddr => 1) or die;
while (1) {
	my $c = $s->accept() or next;
	next if fork;
	while (<$c>) { print $c $_; $c->flush }
	exit;
}
`

const echoManifest = `apiVersion: reconciler.dev/v1
kind: DaemonSpec
metadata: {name: web}
spec:
  binary: /usr/local/bin/echoes
  args: ["8123"]
  stop: {gracePeriod: 2s}
`

// talk is a connection to the daemon on a host, which is open for as long as the daemon lives.
type talk struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

func (r *remote) talk(port int) *talk {
	r.t.Helper()
	var c net.Conn
	r.until("the daemon answers", func() (ok bool) {
		var err error
		c, err = r.Dial(context.Background(), "tcp", fmt.Sprintf("%s:%d", r.Addr, port))
		return err == nil
	})
	r.t.Cleanup(func() { c.Close() })
	return &talk{c, r.t, bufio.NewReader(c)}
}

// still fails where the connection was dropped.
func (c *talk) still() {
	c.t.Helper()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		c.t.Fatal(err)
	}
	word := strconv.FormatInt(time.Now().UnixNano(), 36) + "\n"
	_, err := c.Write([]byte(word))
	got := ""
	if err == nil {
		got, err = c.r.ReadString('\n')
	}
	if err != nil || got != word {
		c.t.Fatalf("the connection was dropped: %q, %v", got, err)
	}
}

// born is when a process began, in ticks since boot.
func (r *remote) born(pid int) string {
	r.t.Helper()
	stat := r.ok("cat", fmt.Sprintf("/proc/%d/stat", pid)).stdout
	return strings.Fields(stat[strings.LastIndex(stat, ")")+1:])[19]
}

// refuses fails unless a command is refused for a reason, and nothing of web is ours after it.
func (r *remote) refuses(why string, args ...string) {
	r.t.Helper()
	a := r.run(append([]string{"reconciler", "adopt"}, args...)...)
	if a.code == 0 || !strings.Contains(a.stderr, why) {
		r.t.Errorf("adopt %s: exit %d, %q; want it refused for %q", strings.Join(args, " "), a.code, a.stderr, why)
	}
}

// adopted takes over the process and looks at what it is then: the same, with its connections.
func (r *remote) adopted(pid int, from string, args ...string) answer {
	r.t.Helper()
	born, conn := r.born(pid), r.talk(8123)
	conn.still()
	said := r.ok(append([]string{"reconciler", "adopt", "web", "-f", "/etc/daemons/web.yaml", "--from", from, "--yes"}, args...)...)
	conn.still()
	now := r.get()["web"]
	if now.Phase != "Running" || now.PID != pid || r.born(pid) != born || len(now.PIDs) != 2 {
		r.t.Errorf("process %d was taken over, and now it is %+v", pid, now)
	}
	if len(now.Ports) != 1 || now.Ports[0].Port != 8123 {
		r.t.Errorf("it listens on 8123, and is told to on %v", now.Ports)
	}
	conn.still()
	return said
}

// livesAsAny does with the daemon what is done with any: its process was ours from its first instant, for all that one can tell.
func (r *remote) livesAsAny(pid int) {
	r.t.Helper()
	if out := r.ok("reconciler", "apply", "-f", "/etc/daemons/web.yaml").stdout; out != "daemon/web unchanged\n" {
		r.t.Errorf("apply after the takeover: %s", out)
	}
	r.shows("stats", r.ok("reconciler", "stats", "web", "--count", "1").stdout, "web")
	r.ok("reconciler", "logs", "web")
	r.ok("reconciler", "restart", "web", "--wait")
	if now := r.untilRunning("web")["web"]; now.PID == pid || now.PID == 0 || r.run("test", "-e", fmt.Sprintf("/proc/%d", pid)).code == 0 {
		r.t.Errorf("after a restart it is process %d, and was %d", now.PID, pid)
	}
	r.ok("reconciler", "stop", "web")
	r.ok("reconciler", "start", "web", "--wait")
	r.ok("reconciler", "delete", "web")
	if left := r.run("pgrep", "-f", "[e]choes").stdout; left != "" {
		r.t.Errorf("left after the delete: %s", left)
	}
}

// TestAdoptAUnit takes over units: one that an administrator wrote, and one of a package.
func TestAdoptAUnit(t *testing.T) {
	t.Parallel()
	r := newRemote(t, labhost.Systemd)
	r.put("/usr/local/bin/echoes", echoes)
	r.put("/etc/daemons/web.yaml", echoManifest)
	r.ok("chmod", "+x", "/usr/local/bin/echoes")
	const unit = "[Service]\nExecStart=/usr/local/bin/echoes 8123\n\n[Install]\nWantedBy=multi-user.target\n"
	pidOf := func(unit string) int {
		pid, _ := strconv.Atoi(strings.TrimSpace(r.ok("systemctl", "show", "-P", "MainPID", unit).stdout))
		return pid
	}
	for _, path := range []string{"/etc/systemd/system/web.service", "/usr/lib/systemd/system/web.service"} {
		r.put(path, unit)
		r.ok("systemctl", "daemon-reload")
		r.ok("systemctl", "enable", "--now", "web.service")
		pid := pidOf("web.service")
		said := r.adopted(pid, "unit=web")
		r.shows("adopt", said.stdout, "Pending:      nothing")
		if now := r.get()["web"]; len(now.Drift) != 0 || now.Driver != "systemd" {
			t.Errorf("it runs as the manifest says, and is told as %+v", now)
		}
		if kept := r.run("cat", "/var/lib/reconciler/adopted/web.service").stdout; strings.HasPrefix(path, "/etc/") && kept != unit {
			t.Errorf("the administrator's file is kept as %q", kept)
		}
		r.shows("a second adopt", r.ok("reconciler", "adopt", "web", "-f", "/etc/daemons/web.yaml", "--from", "unit=web.service").stdout, "daemon/web unchanged")
		r.refuses("there is a daemon of that name", "web", "-f", "/etc/daemons/web.yaml", "--from", "unit=other.service", "--yes")
		r.ok("sh", "-c", fmt.Sprintf("kill -9 %d", pid))
		r.until("systemd starts it again by our unit", func() bool { now := r.get()["web"]; return now.Phase == "Running" && now.PID != pid })
		r.shows("the unit", r.ok("systemctl", "show", "-P", "FragmentPath", "web").stdout, "/etc/systemd/system/web.service")
		r.livesAsAny(pid)
		r.ok("rm", "-f", path)
		r.ok("systemctl", "daemon-reload")
	}

	// One that runs otherwise than the manifest says goes on so, and everybody is told.
	r.put("/etc/systemd/system/web.service", strings.Replace(unit, "[Install]", "Environment=MODE=old\nPrivateTmp=yes\nNice=3\nRestart=no\n[Install]", 1))
	r.put("/etc/daemons/web.yaml", echoManifest+"  env: {MODE: new}\n  cgroup: {pidsLimit: 50}\n  rlimits: {nofile: 640}\n")
	r.ok("systemctl", "daemon-reload")
	r.ok("systemctl", "start", "web.service")
	pid := pidOf("web.service")
	dry := r.ok("reconciler", "adopt", "web", "-f", "/etc/daemons/web.yaml", "--from", fmt.Sprintf("pid=%d", pid), "--dry-run=server").stdout
	for _, want := range []string{"spec.env.MODE", "spec.nice", "unit Service.PrivateTmp", "spec.rlimits.nofile", "(dry run)"} {
		r.shows("the dry run", dry, want)
	}
	if len(r.get()) != 0 {
		t.Error("a dry run took something over")
	}
	r.adopted(pid, fmt.Sprintf("pid=%d", pid))
	r.shows("its limits", r.ok("cat", fmt.Sprintf("/proc/%d/limits", pid)).stdout, "Max open files            640 ")
	drift := fmt.Sprint(r.get()["web"].Drift)
	for _, want := range []string{"spec.env.MODE", "spec.nice", "unit Service.PrivateTmp"} {
		r.shows("the drift", drift, want)
	}
	if diff := r.run("reconciler", "diff", "-f", "/etc/daemons/web.yaml"); diff.code != 1 || !strings.Contains(diff.stdout, "spec.env.MODE") || strings.Contains(diff.stdout, "old") {
		t.Errorf("diff: exit %d, %s", diff.code, diff.stdout)
	}
	r.ok("reconciler", "apply", "--wait", "-f", "/etc/daemons/web.yaml")
	if now := r.untilRunning("web")["web"]; now.PID == pid || len(now.Drift) != 0 {
		t.Errorf("an apply makes it as the manifest says: %+v", now)
	}
	r.ok("reconciler", "delete", "web")

	// What can't be, and why.
	r.put("/etc/systemd/system/Other_1.service", unit)
	r.ok("systemctl", "daemon-reload")
	r.ok("systemctl", "start", "Other_1.service")
	r.ok("systemd-run", "--unit=web", "/usr/local/bin/echoes", "8124")
	web := []string{"web", "-f", "/etc/daemons/web.yaml", "--yes", "--from"}
	r.refuses("can't get another name while it runs", append(web, "unit=Other_1.service")...)
	r.refuses("transient", append(web, "unit=web.service")...)
	r.ok("systemctl", "stop", "web.service")
	r.refuses("doesn't run", append(web, "unit=web.service")...)
	r.refuses("is none that can be taken over", append(web, "pid=1")...)
	r.refuses("there is no process", append(web, "pid=4194000")...)
	r.put("/etc/daemons/web.yaml", strings.Replace(echoManifest, "spec:", "spec:\n  driver: process", 1))
	r.refuses("is of unit Other_1.service", append(web, fmt.Sprintf("pid=%d", pidOf("Other_1.service")))...)
	r.refuses("goes on to restart", append(web, "unit=Other_1.service")...)
	if len(r.get()) != 0 {
		t.Errorf("what was refused was taken over: %v", r.get())
	}
}

// TestAdoptAProcess takes over processes that somebody started by hand, with and without cgroups.
func TestAdoptAProcess(t *testing.T) {
	t.Parallel()
	for kind, driver := range map[labhost.Kind]string{labhost.Cgroup: "cgroup", labhost.Bare: "process"} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			r := newRemote(t, kind)
			r.put("/usr/local/bin/echoes", echoes)
			r.ok("chmod", "+x", "/usr/local/bin/echoes")
			r.put("/etc/daemons/web.yaml", echoManifest)
			byHand := func() int {
				r.ok("sh", "-c", "cd / && { setsid env -i PATH=$PATH /usr/local/bin/echoes 8123 </dev/null >/var/log/echoes 2>&1 & echo $! >/run/echoes.pid; }")
				pid, _ := strconv.Atoi(strings.TrimSpace(r.ok("cat", "/run/echoes.pid").stdout))
				r.talk(8123).Close()
				return pid
			}
			pid := byHand()
			web := []string{"web", "-f", "/etc/daemons/web.yaml", "--yes", "--from"}
			r.refuses("there is none", append(web, "pidfile=/run/nosuch.pid")...)
			r.ok("ln", "-s", "/run/echoes.pid", "/run/link.pid")
			r.refuses("symbolic link", append(web, "pidfile=/run/link.pid")...)
			said := r.adopted(pid, "pidfile=/run/echoes.pid")
			r.shows("adopt", said.stdout, "/var/log/echoes")
			now := r.get()["web"]
			if now.Driver != driver || len(now.Drift) != 0 || driver == "cgroup" && now.Cgroup != "/reconciler.slice/web" {
				t.Errorf("it is %+v", now)
			}
			r.put("/etc/daemons/web.yaml", strings.Replace(echoManifest, "web", "twin", 1))
			r.refuses("conflict", "twin", "-f", "/etc/daemons/web.yaml", "--yes", "--from", fmt.Sprintf("pid=%d", pid))
			r.put("/etc/daemons/web.yaml", echoManifest)
			r.livesAsAny(pid)

			// Another program and other arguments are told, and made so by the next apply.
			pid = byHand()
			r.put("/etc/daemons/web.yaml", strings.Replace(echoManifest, `"8123"`, `"8123", "more"`, 1))
			r.adopted(pid, fmt.Sprintf("pid=%d", pid))
			r.shows("the drift", fmt.Sprint(r.get()["web"].Drift), "spec.args")
			r.ok("reconciler", "apply", "--wait", "-f", "/etc/daemons/web.yaml")
			if now := r.untilRunning("web")["web"]; now.PID == pid || len(now.Drift) != 0 {
				t.Errorf("an apply makes it as the manifest says: %+v", now)
			}
			r.ok("reconciler", "delete", "web")
			r.ok("sh", "-c", "sleep 100 </dev/null >/dev/null 2>&1 & echo $! >/run/stale.pid; touch -d 2001-01-01 /run/stale.pid")
			r.refuses("another has the number now", append(web, "pidfile=/run/stale.pid")...)
		})
	}
}

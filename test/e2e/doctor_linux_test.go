package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"reconciler.dev/reconciler/test/labhost"
)

// finding is one of doctor's, as -o json prints them.
type finding struct{ Check, Status, Found, Lost, Mend string }

// findings are what a doctor said, by check.
type findings map[string]finding

// examined reads what doctor -o json printed.
func (r *remote) examined(said string) findings {
	r.t.Helper()
	var list struct{ Items []finding }
	if err := json.Unmarshal([]byte(said), &list); err != nil {
		r.t.Fatalf("doctor said %q: %v", said, err)
	}
	all := findings{}
	for _, f := range list.Items {
		if f.Status != "OK" && f.Lost == "" {
			r.t.Errorf("doctor doesn't say what is lost: %+v", f)
		}
		all[f.Check] = f
	}
	return all
}

// is fails unless a check came to that status, and returns it.
func (r *remote) is(all findings, check, status string) finding {
	r.t.Helper()
	if got := all[check]; got.Status != status {
		r.t.Fatalf("%s: %+v, want %s", check, got, status)
	}
	return all[check]
}

// mend does what doctor says, as root.
func (r *remote) mend(f finding) {
	r.t.Helper()
	command, root := strings.CutPrefix(f.Mend, "as root: ")
	if !root {
		r.t.Fatalf("%s: what mends it isn't a command for root: %q", f.Check, f.Mend)
	}
	if a := r.run("sh", "-c", command); a.code != 0 {
		r.t.Fatalf("%s: %s: exit %d: %s", f.Check, command, a.code, a.stderr)
	}
}

// TestDoctorMendsAHostWithoutCgroups does what doctor says on a host that has nothing, sees it find the cgroups, and sees the running daemon moved into one.
func TestDoctorMendsAHostWithoutCgroups(t *testing.T) {
	t.Parallel()
	h := newRemote(t, labhost.Bare)
	h.put("/etc/daemons/all.yaml", sleepers)
	h.ok("reconciler", "apply", "-f", "/etc/daemons")
	before := h.untilRunning("web", "db")["web"]

	sick := h.examined(h.ok("reconciler", "doctor", "-o", "json").stdout)
	h.is(sick, "driver process", "OK")
	h.mend(h.is(sick, "driver cgroup", "WARN"))
	well := h.examined(h.ok("reconciler", "doctor", "-o", "json").stdout)
	if chosen := h.is(well, "driver cgroup", "OK").Found; !strings.Contains(chosen, "what auto means here") {
		t.Errorf("driver cgroup: %s", chosen)
	}
	h.is(well, "driver systemd", "WARN")

	diff := h.run("reconciler", "diff", "-f", "/etc/daemons")
	h.shows("diff", diff.stdout, "@@ driver: recreate, a better driver is available @@\n-process\n+cgroup\n")
	h.ok("reconciler", "apply", "-f", "/etc/daemons")
	after := h.untilRunning("web", "db")["web"]
	if before.Driver != "process" || after.Driver != "cgroup" || after.Cgroup == "" || before.PID == after.PID {
		t.Errorf("web was %+v and is %+v", before, after)
	}
	if n := len(strings.Fields(h.ok("pgrep", "-f", "sleep 100000[12]").stdout)); n != 2 {
		t.Errorf("%d copies of two daemons run", n)
	}
	h.ok("reconciler", "delete", "web", "db")
}

// TestDoctorMendsAHostForSomebody does the same for a user who isn't root: the mount, a part of the tree, and the shell moved into it.
func TestDoctorMendsAHostForSomebody(t *testing.T) {
	t.Parallel()
	h := newRemote(t, labhost.Bare)
	h.ok("install", "-d", "-o", "nobody", "/home/nobody")
	// nobody is a shell of theirs that root first moves where enter says.
	nobody := func(enter, command string) answer {
		if enter != "" {
			enter = strings.Replace(enter, "PID", "$$", 1) + " && "
		}
		return h.ok("sh", "-c", enter+"HOME=/home/nobody exec setpriv --reuid=nobody --regid=nogroup --clear-groups "+command)
	}
	const doctor = "reconciler doctor -o json"
	h.mend(h.is(h.examined(nobody("", doctor).stdout), "driver cgroup", "WARN"))
	lacks := h.is(h.examined(nobody("", doctor).stdout), "driver cgroup", "WARN")
	once, enter, ok := strings.Cut(lacks.Mend, "; then for each of its shells, as root: ")
	if !ok {
		t.Fatalf("it says nothing of shells: %s", lacks.Mend)
	}
	lacks.Mend = once
	h.mend(lacks)
	well := h.examined(nobody(enter, doctor).stdout)
	h.is(well, "driver cgroup", "OK")

	h.put("/etc/daemons/all.yaml", sleepers)
	nobody(enter, "reconciler apply -f /etc/daemons")
	if said := nobody(enter, "reconciler get -o wide").stdout; strings.Count(said, "cgroup ") != 2 {
		t.Errorf("they run as:\n%s", said)
	}
	nobody(enter, "reconciler delete web db")
}

// TestDoctorMendsAUserWithoutAManager lets a user linger, and sees the daemons moved to the service manager that they have then.
func TestDoctorMendsAUserWithoutAManager(t *testing.T) {
	t.Parallel()
	h := newRemote(t, labhost.Systemd)
	h.ok("useradd", "--create-home", "bob")
	bob := func(args ...string) answer {
		return h.run(append([]string{"env", "-i", "HOME=/home/bob", "PATH=/usr/local/bin:/usr/bin:/bin", "setpriv", "--reuid=bob", "--regid=bob", "--clear-groups", "reconciler"}, args...)...)
	}
	h.put("/etc/daemons/all.yaml", sleepers)
	bob("apply", "-f", "/etc/daemons")
	sick := h.examined(bob("doctor", "-o", "json").stdout)
	h.is(sick, "driver systemd", "WARN")
	h.mend(h.is(sick, "linger", "WARN"))
	h.until("the manager of bob is up", func() bool { return h.run("systemctl", "is-active", "user@1001.service").code == 0 })
	well := h.examined(bob("doctor", "-o", "json").stdout)
	h.is(well, "driver systemd", "OK")
	h.is(well, "linger", "OK")
	if said := bob("diff", "-f", "/etc/daemons").stdout; !strings.Contains(said, "-process\n+systemd\n") {
		t.Errorf("diff says:\n%s", said)
	}
	bob("apply", "-f", "/etc/daemons")
	if said := bob("get", "-o", "wide").stdout; strings.Count(said, "systemd ") != 2 {
		t.Errorf("they run as:\n%s", said)
	}
	if n := len(strings.Fields(h.ok("pgrep", "-f", "sleep 100000[12]").stdout)); n != 2 {
		t.Errorf("%d copies of two daemons run", n)
	}

	// Without a manager what it has is unknown, and nothing is started a second time.
	h.ok("loginctl", "disable-linger", "bob")
	h.until("the manager of bob is gone", func() bool {
		return h.run("systemctl", "is-active", "user@1001.service").code != 0 && h.run("test", "-e", "/run/user/1001").code != 0
	})
	if a := bob("apply", "-f", "/etc/daemons"); a.code == 0 || !strings.Contains(a.stderr, "loginctl enable-linger bob") {
		t.Errorf("without its manager: exit %d, %s", a.code, a.stderr)
	}
	if a := h.run("pgrep", "-f", "sleep 100000[12]"); a.code == 0 {
		t.Errorf("started beside the units: %s", a.stdout)
	}
}

// TestDoctorFindsWhatStandsInTheWay looks at manifests that this host can't run, and at a port that another program has.
func TestDoctorFindsWhatStandsInTheWay(t *testing.T) {
	t.Parallel()
	h := newRemote(t, labhost.Systemd)
	h.put("/etc/daemons/all.yaml", strings.ReplaceAll(sleepers, "spec:\n", "spec:\n  healthURL: http://127.0.0.1:22/\n"))
	a := h.run("reconciler", "doctor", "-f", "/etc/daemons", "-o", "json")
	if f := h.is(h.examined(a.stdout), "daemon/web", "FAIL"); a.code != 1 || !strings.Contains(f.Found, "127.0.0.1:22 (spec.health.url) is held by sshd") {
		t.Errorf("exit %d, %+v", a.code, f)
	}
	h.put("/etc/daemons/all.yaml", strings.ReplaceAll(sleepers, "spec:\n", "spec:\n  user: web\n"))
	a = h.run("reconciler", "doctor", "-f", "/etc/daemons", "-o", "json")
	f := h.is(h.examined(a.stdout), "daemon/web", "FAIL")
	h.mend(f)
	a = h.run("reconciler", "doctor", "-f", "/etc/daemons", "-o", "json")
	h.is(h.examined(a.stdout), "daemon/web", "OK")
}

// TestDoctorMendsADelegation has a user's service manager lack controllers, as it does unless an administrator says otherwise, and gives them to it as doctor says, on a
// kernel that has them all. The user's daemons, which run meanwhile, get their limits.
func TestDoctorMendsADelegation(t *testing.T) {
	onHost(t, labhost.LimitsSystemd, func(t *testing.T) {
		bin := filepath.Join(hostBin, "reconciler")
		run := func(args ...string) (string, error) {
			out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
			t.Logf("$ %s\n%s", strings.Join(args, " "), out)
			return string(out), err
		}
		alice := func(args ...string) string {
			t.Helper()
			out, err := run(append([]string{"setpriv", "--reuid=alice", "--regid=alice", "--clear-groups", "env", "-i", "HOME=/home/alice", bin}, args...)...)
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			return out
		}
		// systemd itself delegates cpu, memory and pids; older versions, and some administrators, less.
		const less = "/etc/systemd/system/user@.service.d"
		if err := os.MkdirAll(less, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(less+"/00-less.conf", []byte("[Service]\nDelegate=\nDelegate=memory pids\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := run("systemctl", "daemon-reload"); err != nil {
			t.Fatal(out)
		}
		// What is written to a disk of this machine belongs to root, whoever writes it.
		if out, err := run("mount", "-t", "tmpfs", "-o", "uid=1000,gid=1000,mode=755", "tmpfs", "/home/alice"); err != nil {
			t.Fatal(out)
		}
		if out, err := run("systemctl", "start", "user@1000.service"); err != nil {
			t.Fatal(out)
		}
		const file = "/etc/web.yaml"
		if err := os.WriteFile(file, []byte(limited), 0o644); err != nil {
			t.Fatal(err)
		}
		r := &remote{t: t}
		sick := r.is(r.examined(alice("doctor", "-o", "json")), "controllers", "WARN")
		if !strings.Contains(sick.Found, "lacks cpu, io") {
			t.Errorf("alice's manager: %s", sick.Found)
		}
		alice("apply", "-f", file)
		if out, err := run("sh", "-c", strings.TrimPrefix(sick.Mend, "as root: ")); err != nil {
			t.Fatalf("%s: %s", sick.Mend, out)
		}
		r.is(r.examined(alice("doctor", "-o", "json")), "controllers", "OK")
		alice("apply", "-f", file)
		var got struct{ Items []struct{ Status status } }
		if err := json.Unmarshal([]byte(alice("get", "web", "-o", "json")), &got); err != nil {
			t.Fatal(err)
		}
		if s := got.Items[0].Status; s.Limits.Enforced["cgroup.cpuLimit"] != "50%" || len(s.Limits.Lost) > 0 {
			t.Errorf("the limits of what runs: %+v", s.Limits)
		}
		alice("delete", "web")
	})
}

package e2e

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"reconciler.dev/reconciler/test/labhost"
)

const webUnit = "/etc/systemd/system/web.service"

// handEdit is something that an administrator does to the unit of a daemon.
type handEdit struct {
	name string
	by   string // shell
	// named is how it is called by whoever tells of it; empty where systemd itself puts it right.
	named string
	// kept says that putting it right leaves the process alone.
	kept bool
}

func handEdits() []handEdit {
	return []handEdit{
		{name: "systemctl edit", by: `mkdir -p ` + webUnit + `.d && printf '[Service]\nNice=5\n' >` + webUnit + `.d/override.conf && systemctl daemon-reload`, named: "unit.dropIn", kept: true},
		{name: "systemctl set-property", by: `systemctl set-property web.service CPUWeight=50`, named: "unit.dropIn", kept: true},
		{name: "systemctl disable", by: `systemctl disable web`, named: "unit.enabled", kept: true},
		{name: "systemctl mask", by: `systemctl mask --runtime web`, named: "unit.masked", kept: true},
		{name: "an edit of the unit file", by: `sed -i s/^UMask=.*/UMask=0077/ ` + webUnit + ` && systemctl daemon-reload`, named: "unit Service.UMask", kept: true},
		{name: "the unit file is removed", by: `rm ` + webUnit + ` && systemctl daemon-reload`, named: "unit.file", kept: true},
		{name: "systemctl stop", by: `systemctl stop web`, named: "unit.active"},
		{name: "systemctl mask --now", by: `systemctl mask --runtime --now web`, named: "unit.masked"},
		{name: "kill", by: `kill -9 $(systemctl show -P MainPID web)`},
	}
}

// TestHandEdits does to a unit what administrators do. Everybody who is asked names it, and it is put right: by an apply, and at once by a run. None of it makes a second copy.
func TestHandEdits(t *testing.T) {
	t.Parallel()
	h := newRemote(t, labhost.Systemd)
	h.put("/etc/daemons/all.yaml", sleepers)
	h.ok("reconciler", "apply", "--wait", "-f", "/etc/daemons")
	for _, e := range handEdits() {
		before := h.untilRunning("web")["web"].PID
		h.ok("sh", "-c", e.by)
		if e.named != "" {
			h.shows("get -o wide after "+e.name, h.ok("reconciler", "get", "-o", "wide").stdout, "drift: "+e.named)
			h.shows("describe after "+e.name, h.ok("reconciler", "describe", "web").stdout, e.named)
			diff := h.run("reconciler", "diff", "-f", "/etc/daemons")
			h.shows("diff after "+e.name, diff.stdout, "@@ "+e.named+": ")
			if diff.code != 1 {
				t.Errorf("diff after %s: exit %d, want 1", e.name, diff.code)
			}
		}
		h.ok("reconciler", "apply", "--wait", "-f", "/etc/daemons")
		h.putRight(e, before)
		if out := h.ok("reconciler", "apply", "-f", "/etc/daemons").stdout; out != "daemon/web unchanged\ndaemon/db unchanged\n" {
			t.Errorf("after %s was put right: %s", e.name, out)
		}
	}

	run := h.Command(t.Context(), "reconciler", "run", "-f", "/etc/daemons")
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	h.until("the run keeps web", func() bool { return strings.Contains(h.ok("reconciler", "describe", "web").stdout, "Kept by:") })
	for _, e := range handEdits() {
		before := h.untilRunning("web")["web"].PID
		h.ok("sh", "-c", e.by)
		h.until("a run puts right: "+e.name, func() bool {
			now := h.get()["web"]
			return now.Phase == "Running" && len(now.Drift) == 0 && (e.kept || now.PID != before)
		})
		h.putRight(e, before)
	}
	h.ok("pkill", "-INT", "-f", "reconciler [r]un")
	_ = run.Wait()
}

// putRight checks that nothing of an edit is left.
func (r *remote) putRight(e handEdit, before int) {
	r.t.Helper()
	now := r.untilRunning("web")["web"]
	if (now.PID == before) != e.kept {
		r.t.Errorf("after %s: process %d, now %d; want it kept: %t", e.name, before, now.PID, e.kept)
	}
	if said := r.ok("systemctl", "show", "-P", "UnitFileState", "-P", "UMask", "-P", "Nice", "-P", "DropInPaths", "-P", "NeedDaemonReload", "web").stdout; !strings.Contains(said, "enabled\n") || strings.Contains(said, "0077") || strings.Contains(said, "yes\n") {
		r.t.Errorf("after %s was put right systemd has: %s", e.name, said)
	}
	if n := strings.TrimSpace(r.run("pgrep", "-cf", "^/bin/sleep 100000[1]").stdout); n != "1" {
		r.t.Errorf("after %s was put right %s copies run", e.name, n)
	}
}

// TestIdleness: what is applied stays as it is. Neither a second apply, nor one by another version of the tool, nor a reload of systemd's by somebody, nor a reboot, makes a daemon another
// process or costs a reload; and a run that has nothing to do does nothing.
func TestIdleness(t *testing.T) {
	t.Parallel()
	h := newRemote(t, labhost.Systemd)
	h.put("/etc/daemons/all.yaml", sleepers)
	const unchanged = "daemon/web unchanged\ndaemon/db unchanged\n"
	apply := func(after string) {
		t.Helper()
		if out := h.ok("reconciler", "apply", "-f", "/etc/daemons").stdout; out != unchanged {
			t.Errorf("after %s: %s", after, out)
		}
		if diff := h.run("reconciler", "diff", "-f", "/etc/daemons"); diff.code != 0 || diff.stdout != "" {
			t.Errorf("after %s, a diff: exit %d, %s", after, diff.code, diff.stdout)
		}
	}
	h.ok("reconciler", "apply", "--wait", "-f", "/etc/daemons")
	first := h.get()
	reloads := func() string {
		return h.ok("sh", "-c", "journalctl -q -o cat _PID=1 | grep -c '^Reloading' || true").stdout
	}
	apply("an apply")
	if n := reloads(); n != "0\n" {
		t.Errorf("systemd was made to reload %s times by daemons that are new", n)
	}
	h.ok("sed", "-i", `s/"tool":"[^"]*"/"tool":"v0.0.1"/`, webUnit) // as another version of the tool would have written it
	apply("an upgrade of the tool")
	h.ok("systemctl", "daemon-reload")
	apply("a reload of systemd's")
	h.ok("systemctl", "daemon-reexec")
	apply("systemd was executed anew")
	run := h.Command(t.Context(), "reconciler", "run", "-f", "/etc/daemons")
	var said labhost.Output
	run.Stdout, run.Stderr = &said, &said
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	h.until("the run keeps web", func() bool { return strings.Contains(h.ok("reconciler", "describe", "web").stdout, "Kept by:") })
	h.ok("systemctl", "daemon-reload")
	h.ok("pkill", "-INT", "-f", "reconciler [r]un")
	_ = run.Wait()
	if text := said.String(); strings.Contains(text, "healed") || strings.Contains(text, "configured") || strings.Contains(text, "start:") {
		t.Errorf("a run with nothing to do did: %s", text)
	}
	if now := h.get(); now["web"].PID != first["web"].PID || now["db"].PID != first["db"].PID {
		t.Errorf("other processes than at first: %+v, %+v", first, now)
	}
	if err := h.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := h.untilRunning("web", "db")
	apply("a reboot")
	if now := h.get(); now["web"].PID != second["web"].PID || now["web"].Restarts != 0 {
		t.Errorf("after a reboot: %+v, then %+v", second, now)
	}
}

// TestAPauseOutlivesAReboot: what a user stopped systemd doesn't start at boot, nor does an apply, and what was started again it does.
func TestAPauseOutlivesAReboot(t *testing.T) {
	t.Parallel()
	h := newRemote(t, labhost.Systemd)
	h.put("/etc/daemons/all.yaml", sleepers)
	reboot := func() {
		t.Helper()
		if err := h.Reboot(t.Context()); err != nil {
			t.Fatal(err)
		}
		h.untilRunning("db")
	}
	h.ok("reconciler", "apply", "--wait", "-f", "/etc/daemons")
	h.ok("reconciler", "stop", "web")
	if diff := h.run("reconciler", "diff", "-f", "/etc/daemons"); diff.code != 0 {
		t.Errorf("what a user stopped differs: %s", diff.stdout)
	}
	reboot()
	if now := h.get()["web"]; now.Phase != "Stopped" || now.PID != 0 {
		t.Errorf("stopped, and after a reboot it is %+v", now)
	}
	h.shows("apply", h.ok("reconciler", "apply", "-f", "/etc/daemons").stdout, "daemon/web paused")
	h.put("/etc/daemons/all.yaml", strings.Replace(sleepers, "1000001", "1000009", 1))
	h.shows("apply of another version", h.ok("reconciler", "apply", "-f", "/etc/daemons").stdout, "daemon/web paused")
	reboot()
	if now := h.get()["web"]; now.PID != 0 {
		t.Errorf("stopped, changed, and after a reboot it is %+v", now)
	}
	h.ok("reconciler", "start", "web", "--wait")
	if said := h.ok("pgrep", "-cf", "^/bin/sleep 100000[19]").stdout; said != "1\n" {
		t.Errorf("started again, and it has %s processes", said)
	}
	reboot()
	h.untilRunning("web")
}

const named = `apiVersion: reconciler.dev/v1
kind: DaemonSpec
metadata: {name: %[1]s}
spec:
  binary: /bin/sleep
  args: ["%[2]d"]
  cgroup: {%[3]s}
`

// TestUnitsAndSlicesByName: the names in a manifest are those that systemd has.
func TestUnitsAndSlicesByName(t *testing.T) {
	t.Parallel()
	h := newRemote(t, labhost.Systemd)
	for i, c := range []struct{ daemon, cgroup, unit, group string }{
		{"plain", "", "plain.service", "/system.slice/plain.service"},
		{"sliced", "slice: rbee.slice", "sliced.service", "/rbee.slice/sliced.service"},
		{"nested", "slice: rbee-gpu-a.slice", "nested.service", "/rbee.slice/rbee-gpu.slice/rbee-gpu-a.slice/nested.service"},
		{"worker", `slice: rbee.slice, service: worker, instance: "0"`, "worker-0.service", "/rbee.slice/worker-0.service"},
		{"beside", `slice: rbee.slice, service: worker, instance: "1"`, "worker-1.service", "/rbee.slice/worker-1.service"},
	} {
		file := "/etc/daemons/" + c.daemon + ".yaml"
		h.put(file, fmt.Sprintf(named, c.daemon, 1000020+i, c.cgroup))
		h.ok("reconciler", "apply", "-f", file)
		if group := h.ok("systemctl", "show", "-P", "ControlGroup", c.unit).stdout; group != c.group+"\n" {
			t.Errorf("%s: unit %s is in %q, want %s", c.daemon, c.unit, group, c.group)
		}
		if now := h.get()[c.daemon]; now.Cgroup != c.group {
			t.Errorf("%s: get says it is in %q, want %s", c.daemon, now.Cgroup, c.group)
		}
	}
	// Another unit's name, and later another slice: the daemon goes there, and leaves nothing behind.
	for _, cgroup := range []string{`slice: rbee.slice, service: worker, instance: "2"`, `slice: other.slice, service: worker, instance: "2"`} {
		before := h.get()["worker"].PID
		h.put("/etc/daemons/worker.yaml", fmt.Sprintf(named, "worker", 1000023, cgroup))
		h.ok("reconciler", "apply", "--wait", "-f", "/etc/daemons/worker.yaml")
		if now := h.get()["worker"]; now.PID == before || h.run("kill", "-0", strconv.Itoa(before)).code == 0 {
			t.Errorf("moved to %s: process %d, now %d", cgroup, before, now.PID)
		}
	}
	if left := h.run("sh", "-c", "ls /etc/systemd/system/worker-0.service /etc/systemd/system/multi-user.target.wants/worker-0.service 2>/dev/null").stdout; left != "" {
		t.Errorf("left of the unit that it was: %s", left)
	}
	if where := h.get()["worker"].Cgroup; where != "/other.slice/worker-2.service" {
		t.Errorf("worker is in %s", where)
	}
	// Units of others: a file, one of the distribution's, one that runs and has no file.
	const theirs = "[Service]\nExecStart=/bin/sleep 1000030\n"
	h.put("/etc/systemd/system/theirs.service", theirs)
	h.ok("systemctl", "daemon-reload")
	h.ok("systemctl", "start", "theirs")
	h.ok("systemd-run", "--quiet", "--unit=transient", "sleep", "1000031")
	for _, c := range []struct{ daemon, cgroup, named string }{
		{"theirs", "", "/etc/systemd/system/theirs.service"},
		{"ssh", "", "ssh.service"},
		{"transient", "", "transient.service"},
		{"mine", `service: worker, instance: "1"`, "daemon beside"},
	} {
		file := "/etc/refused/" + c.daemon + ".yaml"
		h.put(file, fmt.Sprintf(named, c.daemon, 1000040, c.cgroup))
		a := h.run("reconciler", "apply", "-f", file)
		if a.code != 6 || !strings.Contains(a.stderr, c.named) {
			t.Errorf("%s, where there is %s: exit %d, %s", c.daemon, c.named, a.code, a.stderr)
		}
	}
	if text, err := h.Get("/etc/systemd/system/theirs.service"); err != nil || string(text) != theirs {
		t.Errorf("theirs.service was touched: %s (%v)", text, err)
	}
	for _, seconds := range []string{"1000030", "1000031"} {
		h.ok("pgrep", "-f", "sleep "+seconds)
	}
	if found := h.run("pgrep", "-f", "sleep 100004[0]"); found.code == 0 {
		t.Errorf("a daemon was started that was refused: %s", found.stdout)
	}
	h.ok("reconciler", "delete", "plain", "sliced", "nested", "worker", "beside")
	if left := h.run("sh", "-c", "grep -l X-Reconciler /etc/systemd/system/*.service").stdout; left != "" {
		t.Errorf("units left: %s", left)
	}
}

// TestDriversThereAndBack moves a daemon through all drivers and back. It bears witness that there was never a second copy.
func TestDriversThereAndBack(t *testing.T) {
	t.Parallel()
	onHost(t, labhost.Delegated, func(t *testing.T) {
		m := newMachine(t)
		web, db := m.witness("web"), m.witness("db")
		for _, w := range []*testimony{web, db} {
			w.spec += fmt.Sprintf("  cgroup: {slice: shop.slice}\n  rlimits: {rss: \"%d:infinity\"}\n", m.mark) // a service manager starts it, and no process with the mark
		}
		m.drivers = "process"
		db.applied()
		keeps := db.pid()
		m.remove("manifests/db.yaml")
		before := 0
		for _, driver := range []string{"process", "cgroup", "systemd", "cgroup", "process", "systemd", "process"} {
			m.drivers = driver
			m.ok("apply", "-f", web.declare())
			if d := m.get("web").Status.Driver; d != driver {
				t.Fatalf("web is run by %s, want %s", d, driver)
			}
			if pid := web.pid(); pid == before {
				t.Errorf("process %d went on under another driver", pid)
			} else {
				before = pid
			}
			m.ok("apply", "-f", m.path("manifests")).printed("daemon/web unchanged")
		}
		// What is better and available again is found by a run, too, and what was there before keeps its driver until somebody applies it.
		m.drivers = "systemd,cgroup,process"
		run := m.keep("-f", m.path("manifests"))
		m.eventually("the run has moved web to systemd", func() bool { s := m.get("web"); return s.Status.Driver == "systemd" && s.Status.Phase == "Running" })
		web.becomes(before)
		run.interrupt()
		if d := m.get("db"); d.Status.Driver != "process" || d.Status.PID != keeps {
			t.Errorf("db, which nobody applied: %+v", d.Status)
		}
		// Daemons of two drivers are pruned alike.
		m.ok("apply", "--prune", "--prune-guard=-1", "-f", m.path("manifests")).said("daemon/db pruned")
		if left := db.copies(); len(left) > 0 {
			t.Errorf("pruned, and these live: %v", left)
		}
		if found, _ := filepath.Glob(m.path("root/run/daemons/db.json")); found != nil {
			t.Errorf("left of what was pruned: %v", found)
		}
	})
}

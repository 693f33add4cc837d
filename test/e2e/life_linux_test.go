package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAfterAReboot takes away what a reboot takes: every process, and what is kept in memory. What a user stopped stays stopped; the rest is made anew.
func TestAfterAReboot(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	web, db := m.witness("web"), m.witness("db")
	web.declare()
	db.declare()
	run := m.keep("-f", m.path("manifests"))
	web.becomes(0)
	db.becomes(0)
	m.ok("stop", "db").printed("daemon/db stopped")
	run.kill()
	if err := m.mark.kill(web.pid()); err != nil {
		t.Fatal(err)
	}
	m.eventually("all processes have ended", func() bool { return len(m.mark.alive(t)) == 0 })
	if err := os.RemoveAll(filepath.Join(m.root, "run")); err != nil {
		t.Fatal(err)
	}

	run = m.keep("-f", m.path("manifests"))
	web.becomes(0)
	run.says("daemon/web: ready")
	if c := db.copies(); len(c) > 0 {
		t.Errorf("a user stopped db before the reboot, and now it lives: %v", c)
	}
	m.ok("start", "db").said("daemon/db waiting", "run that keeps it")
	db.becomes(0)
	m.ok("apply", "--force", "-f", m.path("manifests")).said("daemon/web", "daemon/db")
	run.interrupt()
}

// TestAnotherSetByForce hands a daemon from set to set. It isn't touched.
func TestAnotherSetByForce(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	w := m.witness("web").applied()
	pid := w.pid()
	m.exits(6, "apply", "--set=other", "-f", w.declare()).said(`"default"`, "--force")
	m.ok("apply", "--set=other", "--force", "-f", w.declare()).printed("daemon/web configured")
	if w.pid() != pid || w.starts() != 1 {
		t.Error("it was restarted")
	}
	if set := m.get("web").Status.Set; set != "other" {
		t.Errorf("it is in set %q", set)
	}
	m.exits(6, "apply", "-f", w.declare()).said(`"other"`)
}

// TestRestartPolicies shows whose end is followed by a start while a run is live.
func TestRestartPolicies(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		policy string
		exit   int
		starts bool
		phase  string
	}{
		{"Never", 0, false, "Stopped"},
		{"Never", 3, false, "Failed"},
		{"OnFailure", 0, false, "Stopped"},
		{"OnFailure", 3, true, ""},
		{"Always", 0, true, ""},
	} {
		t.Run(fmt.Sprintf("%s after %d", tt.policy, tt.exit), func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			w := m.witness("web", fmt.Sprintf("-exit=%d", tt.exit))
			w.spec = fmt.Sprintf("  restart: {policy: %s, backoff: {initial: 1m, max: 1m}}\n", tt.policy)
			w.declare()
			run := m.keep("-f", m.path("manifests"))
			run.says(fmt.Sprintf("exited: it exited with status %d", tt.exit))
			if tt.starts {
				m.eventually("it was started again", func() bool { return w.starts() == 2 })
				return
			}
			m.eventually("get says "+tt.phase, func() bool { return m.get("web").Status.Phase == tt.phase })
			m.ok("apply", "--force", "-f", w.declare())
			if n := w.starts(); n != 1 {
				t.Errorf("it was started %d times, and its policy is %s", n, tt.policy)
			}
		})
	}
}

// TestWhatIsWatched follows the table and the events of a daemon through its life.
func TestWhatIsWatched(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	w := m.witness("web").listening()
	w.declare()
	run := m.keep("-f", m.path("manifests"))
	first := w.becomes(0)
	m.ok("wait", "web", "--for=condition=Ready", "--timeout=20s")
	table, events := m.background("get", "-w"), m.background("events", "-w")
	table.says("web")
	events.says("Started")
	w.kill()
	second := w.becomes(first)
	m.eventually("get -w shows the new process", func() bool { return strings.Count(table.stdout.String(), "web ") >= 2 })
	events.says("SIGKILL")
	for _, c := range []*command{table, events} {
		c.interrupt()
		if c.code() != 0 {
			t.Errorf("exit %d after ^C, which is how a watch ends, want 0:\n%v", c.code(), c)
		}
	}
	run.interrupt()
	if w.pid() != second {
		t.Error("a watch touched the daemon")
	}
}

// TestInstancesSideBySide keeps daemons of one name in two directories; neither knows of the other.
func TestInstancesSideBySide(t *testing.T) {
	t.Parallel()
	one, two := newMachine(t), newMachine(t)
	a, b := one.witness("web").applied(), two.witness("web").applied()
	old := b.pid()
	two.with("RECONCILER_STATE_DIR="+one.root).ok("--state-dir="+two.root, "restart", "web")
	b.becomes(old)
	if a.pid(); a.starts() != 1 {
		t.Error("--state-dir restarted the wrong one")
	}
	one.ok("delete", "web")
	if len(a.copies()) != 0 || len(b.copies()) != 1 {
		t.Errorf("left are %v and %v", a.copies(), b.copies())
	}
}

// TestDependentsGoFirst deletes and prunes what others depend on after those.
func TestDependentsGoFirst(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	for _, name := range []string{"db", "web", "stay"} {
		w := m.witness(name)
		if name == "web" {
			w.spec = "  dependsOn: [{name: db, condition: Started}]\n"
		}
		w.declare()
	}
	m.ok("apply", "-f", m.path("manifests"))
	m.remove("manifests/db.yaml")
	m.exits(5, "apply", "-f", m.path("manifests"), "--prune").said("web", "depends on db")
	m.remove("manifests/web.yaml")
	m.ok("apply", "-f", m.path("manifests"), "--prune", "--prune-guard=-1").said("daemon/db pruned", "daemon/web pruned")
	events := m.ok("events", "--no-headers").stdout.String()
	gone := func(name string) int {
		return strings.Index(events, "Removed   daemon/"+name)
	}
	if gone("web") < 0 || gone("db") < gone("web") {
		t.Errorf("db has to go after web:\n%s", events)
	}
}

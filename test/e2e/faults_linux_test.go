package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// record is the path of what is kept of a running daemon.
func (m *machine) record(daemon string) string {
	return filepath.Join(m.root, "run", "daemons", daemon+".json")
}

// TestAnUnreadableRecordFreezesItsDaemon damages what is known of a daemon. It must not be taken for one that isn't there.
func TestAnUnreadableRecordFreezesItsDaemon(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	web, db := m.witness("web").applied(), m.witness("db").applied()
	pid := web.pid()
	good := m.read(m.record("web"))
	if err := os.WriteFile(m.record("web"), []byte(good[:len(good)/2]), 0o600); err != nil {
		t.Fatal(err)
	}
	if phase := m.get("web").Status.Phase; phase != "Unknown" {
		t.Errorf("it is %s, want Unknown", phase)
	}
	m.exits(4, "apply", "-f", m.path("manifests")).said(m.record("web"), "daemon/db unchanged")
	m.exits(1, "restart", "web").said(m.record("web"))
	m.exits(1, "delete", "web").said(m.record("web"))
	m.remove("manifests/web.yaml")
	m.ok("apply", "-f", m.path("manifests"), "--prune", "--prune-guard=-1").printed("daemon/db unchanged")
	if c := web.copies(); len(c) != 1 || c[0].pid != pid {
		t.Errorf("process %d was touched; these live: %v", pid, c)
	}
	if err := os.WriteFile(m.record("web"), []byte(good), 0o600); err != nil {
		t.Fatal(err)
	}
	if web.pid() != pid {
		t.Error("it isn't what it was")
	}
	db.pid()
}

// TestAStartThatComesToNothing leaves nothing behind, and says what is wrong and where.
func TestAStartThatComesToNothing(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	program := m.write("program", "this is no program\n")
	if err := os.Chmod(program, 0o755); err != nil {
		t.Fatal(err)
	}
	manifest := m.write("web.yaml", fmt.Sprintf("apiVersion: reconciler.dev/v1\nkind: DaemonSpec\nmetadata: {name: web}\nspec: {binary: %s}\n", program))
	m.exits(1, "apply", "-f", manifest).said("daemon web", program)
	if n := len(m.all()); n != 0 {
		t.Errorf("%d daemons are there", n)
	}

	w := m.witness("web").applied()
	pid := w.pid()
	w.spec = "  workingDir: " + m.path("nowhere") + "\n"
	m.exits(1, "apply", "-f", w.declare()).said("daemon web", m.path("nowhere"))
	if c := w.copies(); len(c) > 1 || len(c) == 1 && c[0].pid != pid {
		t.Errorf("these live: %v", c)
	}
	w.spec = ""
	m.ok("apply", "-f", w.declare())
	w.pid()
}

// TestAFileThatIsNotOurs stands where a daemon's config shall be. It is written over by force only, and a deletion leaves what isn't ours.
func TestAFileThatIsNotOurs(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	w := m.witness("web").configured("ours")
	path := m.write("web.conf", "theirs")
	m.exits(6, "apply", "-f", w.declare()).said(path)
	if m.read(path) != "theirs" || w.everStarted() {
		t.Errorf("something was done; the file holds %q", m.read(path))
	}
	m.ok("apply", "--force", "-f", w.declare())
	w.goesBy("ours")
	m.ok("delete", "web")
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("its config is left: %v", err)
	}
}

// TestManyDieAtOnce kills all daemons of a run in the same instant.
func TestManyDieAtOnce(t *testing.T) {
	t.Parallel()
	const n = 40
	m := newMachine(t)
	var all []*testimony
	for i := range n {
		w := m.witness(fmt.Sprintf("web%02d", i))
		w.declare()
		all = append(all, w)
	}
	m.ok("apply", "-f", m.path("manifests"))
	run := m.keep("-f", m.path("manifests"))
	old := map[string]int{}
	for _, d := range m.all() {
		old[d.Metadata.Name] = d.Status.PID
	}
	if len(old) != n {
		t.Fatalf("%d daemons run, want %d", len(old), n)
	}
	for _, pid := range old {
		if err := m.mark.kill(pid); err != nil {
			t.Fatal(err)
		}
	}
	m.eventually("all run again", func() bool {
		again := 0
		for _, d := range m.all() {
			if d.Status.Phase == "Running" && d.Status.PID != old[d.Metadata.Name] && d.Status.Restarts == 1 {
				again++
			}
		}
		return again == n
	})
	for _, w := range all {
		if c := w.copies(); len(c) != 1 {
			t.Errorf("%s has %d processes", w.name, len(c))
		}
	}
	if said := strings.Count(run.stdout.String(), "healed: it was killed by SIGKILL"); said != n {
		t.Errorf("the run tells of %d heals, want %d", said, n)
	}
	run.interrupt()
}

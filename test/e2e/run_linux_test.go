package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestRunHeals(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	w := m.witness("web").listening()
	w.declare()
	run := m.keep("-f", m.path("manifests"))
	first := w.becomes(0)
	m.ok("wait", "web", "--for=condition=Ready", "--timeout=20s")

	within(t, 5*time.Second, "the first restart, which waits for nothing,", func() {
		w.kill()
		w.becomes(first)
	})
	m.ok("wait", "web", "--for=condition=Ready", "--timeout=20s")
	s := m.get("web")
	if s.Status.Restarts != 1 || s.Status.LastExit == nil || s.Status.LastExit.Signal != "SIGKILL" || s.Status.LastExit.Reason != "Error" {
		t.Errorf("get says %+v", s.Status)
	}
	run.said("killed by SIGKILL")
	m.ok("events", "--for=web").said("SIGKILL", "Started")
	run.interrupt()
	if run.code() != 0 {
		t.Errorf("run ended with %d after an interrupt, which is how it ends: want 0", run.code())
	}
	w.pid()
}

func TestRunRestartsWhatIsUnhealthy(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	w := m.witness("web").listening()
	w.spec = strings.Replace(w.spec, "startPeriod: 5s", "startPeriod: 0s, onFailure: Restart", 1)
	w.declare()
	m.keep("-f", m.path("manifests"))
	old := w.becomes(0)
	m.ok("wait", "web", "--for=condition=Ready", "--timeout=20s")
	w.post("/sicken")
	w.becomes(old)
	m.ok("wait", "web", "--for=condition=Ready", "--timeout=20s")
	m.ok("events", "--for=web").said("503")
}

// TestRunSeesEverySave changes the manifest in the ways that editors, scripts and Kubernetes volumes do.
// TestRunSeesAReplacedProgram at once, and not at the next resync, which is ten minutes away; but not before it is whole.
func TestRunSeesAReplacedProgram(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	w := m.witness("web").installed(1)
	made := w.from
	w.from = "" // it is put there by hand
	place := func(number byte) {
		t.Helper()
		w.installed(number)
		w.from = ""
		if err := os.Rename(made, w.to); err != nil {
			t.Fatal(err)
		}
	}
	m.write("bin/readme", "")
	place(1)
	w.declare()
	m.keep("-f", m.path("manifests"))
	pid := w.becomes(0)
	w.runsProgram(1)
	place(2)
	pid = w.becomes(pid)
	w.runsProgram(2)

	program, err := os.ReadFile(w.to)
	if err == nil {
		err = os.Remove(w.to)
	}
	if err != nil {
		t.Fatal(err)
	}
	program[len(program)-1] = 3
	f, err := os.OpenFile(w.to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for part := range slices.Chunk(program, len(program)/20+1) {
		if _, err := f.Write(part); err != nil {
			t.Fatal(err)
		}
		<-time.After(100 * time.Millisecond)
		if w.pid() != pid {
			t.Fatal("it was restarted with half of its program")
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	w.becomes(pid)
	w.runsProgram(3)
	if n := w.starts(); n != 3 {
		t.Errorf("it was started %d times", n)
	}
}

func TestRunSeesEverySave(t *testing.T) {
	t.Parallel()
	for _, save := range []struct {
		name string
		// first places the manifest before run starts, and next replaces it; both get the folder that run watches.
		first, next func(m *machine, dir, text string)
	}{
		{"rename", renamed, renamed},
		{"rewrite in place", inPlace, inPlace},
		{"a backup first, as vim does", renamed, asVim},
		{"removed and made again", renamed, func(m *machine, dir, text string) {
			m.remove(filepath.Join("watched", "web.yaml"))
			inPlace(m, dir, text)
		}},
		{"the link ..data is swapped", asVolume("1"), asVolume("2")},
	} {
		t.Run(save.name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			w := m.witness("web").configured("one")
			dir := m.path("watched")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			save.first(m, dir, w.manifest())
			m.keep("-f", dir)
			pid := w.becomes(0)
			w.goesBy("one")
			save.next(m, dir, w.configured("two").manifest())
			w.goesBy("two")
			if now := w.pid(); now != pid {
				t.Errorf("process %d became %d, and the change only needs a reload", pid, now)
			}
		})
	}
}

func renamed(m *machine, _, text string) { m.write("watched/web.yaml", text) }

func inPlace(m *machine, dir, text string) {
	if err := os.WriteFile(filepath.Join(dir, "web.yaml"), []byte(text), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

// asVim leaves a swap file and a backup beside what it saves, none of which is a manifest.
func asVim(m *machine, dir, text string) {
	m.write("watched/.web.yaml.swp", "b0VIM 8.2")
	m.write("watched/4913", "")
	if err := os.Rename(filepath.Join(dir, "web.yaml"), filepath.Join(dir, "web.yaml~")); err != nil {
		m.t.Fatal(err)
	}
	inPlace(m, dir, text)
}

// asVolume places a manifest as the kubelet does for a ConfigMap: web.yaml -> ..data/web.yaml, ..data -> a folder of this version.
func asVolume(version string) func(m *machine, dir, text string) {
	return func(m *machine, dir, text string) {
		m.write(filepath.Join("watched", "..v"+version, "web.yaml"), text)
		data := filepath.Join(dir, "..data")
		if err := os.Symlink("..v"+version, data+"_tmp"); err != nil {
			m.t.Fatal(err)
		}
		if err := os.Rename(data+"_tmp", data); err != nil {
			m.t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join("..data", "web.yaml"), filepath.Join(dir, "web.yaml")); err != nil && !os.IsExist(err) {
			m.t.Fatal(err)
		}
	}
}

func TestRunFollowsTheFolder(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	web, db := m.witness("web"), m.witness("db")
	web.declare()
	run := m.keep("-f", m.path("manifests"), "--prune", "--prune-guard=-1")
	pid := web.becomes(0)
	db.declare()
	db.becomes(0)
	m.remove("manifests/db.yaml")
	m.eventually("db is gone", func() bool { return m.get("db").Status.Phase == "Absent" })
	if c := db.copies(); len(c) > 0 {
		t.Errorf("db is Absent and lives: %v", c)
	}
	m.remove("manifests/web.yaml")
	run.says("keep the last good set") // that nothing is left is refused, whatever the guard
	if web.pid() != pid {
		t.Error("web was touched")
	}
}

func TestRunKeepsTheLastGoodSet(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	w := m.witness("web").configured("one")
	w.declare()
	run := m.keep("-f", m.path("manifests"), "--prune", "--prune-guard=-1")
	pid := w.becomes(0)
	m.write("manifests/broken.yaml", "apiVersion: reconciler.dev/v1\nkind: DaemonSpec\nmetadata: {name: other}\nspec: {binery: sleep}\n")
	run.says("keep the last good set")
	run.said("broken.yaml:4", "binery", "binary")
	w.kill()
	pid = w.becomes(pid)
	m.remove("manifests/broken.yaml")
	w.configured("two").declare()
	w.goesBy("two")
	if w.pid() != pid {
		t.Error("web was restarted, though a reload would have done")
	}
}

func TestStopIsRememberedWhileRunIsLive(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	w := m.witness("web").configured("one")
	w.declare()
	run := m.keep("-f", m.path("manifests"))
	w.becomes(0)
	m.ok("stop", "web").printed("daemon/web stopped")
	stays := func(why string) {
		t.Helper()
		m.eventually("the run has seen that web is paused "+why, func() bool {
			s := m.get("web")
			return s.Status.Paused != nil && s.is("Ready") == "False"
		})
		if c := w.copies(); len(c) > 0 {
			t.Fatalf("web was started %s: %v", why, c)
		}
	}
	stays("after stop")
	w.configured("two").declare()
	run.says("the manifest changed while it is stopped")
	stays("after its manifest changed")
	run.interrupt()
	run = m.keep("-f", m.path("manifests"))
	stays("by the next run")
	m.ok("start", "web").printed("daemon/web started")
	w.becomes(0)
	w.goesBy("two")
	run.interrupt()
}

func TestPruneGuard(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	names := []string{"a", "b", "c", "d"}
	for _, n := range names {
		m.witness(n).declare()
	}
	m.ok("apply", "-f", m.path("manifests"))
	for _, n := range names[1:] {
		m.remove("manifests/" + n + ".yaml")
	}
	m.exits(5, "apply", "-f", m.path("manifests"), "--prune").said("b, c, d", "--prune-guard")
	if n := len(m.all()); n != 4 {
		t.Fatalf("%d daemons are left of 4", n)
	}
	m.exits(5, "apply", "-f", m.path("manifests"), "--prune", "--dry-run=server")
	m.write("empty/nothing.yaml", "# nothing here\n")
	m.exits(2, "apply", "-f", m.path("empty"), "--prune", "--prune-guard=-1")
	run := m.keep("-f", m.path("manifests"), "--prune")
	run.says("not pruned")
	if n := len(m.all()); n != 4 {
		t.Fatalf("%d daemons are left of 4", n)
	}
	run.interrupt()
	m.ok("apply", "-f", m.path("manifests"), "--prune", "--prune-guard=-1").said("daemon/b pruned", "daemon/c pruned", "daemon/d pruned", "daemon/a unchanged")
}

func TestPruneIsOfOneSetAndAfterHealth(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	other, old, web := m.witness("other"), m.witness("old"), m.witness("web").listening().configured("well")
	m.ok("apply", "--set=other", "-f", m.write("other/other.yaml", other.manifest()))
	old.declare()
	web.declare()
	m.ok("apply", "-f", m.path("manifests"), "--wait")

	m.remove("manifests/old.yaml")
	web.args = append(web.args, "-exit=1")
	web.declare()
	failed := m.run("apply", "-f", m.path("manifests"), "--prune", "--wait", "--timeout=10s")
	failed.said("nothing was pruned")
	if failed.code() == 0 {
		t.Errorf("exit 0:\n%v", failed)
	}
	old.pid()

	web.args = web.args[:len(web.args)-1]
	web.declare()
	m.ok("apply", "-f", m.path("manifests"), "--prune", "--wait").said("daemon/old pruned")
	other.pid()
	if c := old.copies(); len(c) > 0 {
		t.Errorf("it was pruned and lives: %v", c)
	}
}

func TestARunThatCrashesLoopsSlowly(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	w := m.witness("web", "-exit=3")
	w.spec = "  restart: {backoff: {initial: 30s, max: 60s}}\n"
	w.declare()
	run := m.keep("-f", m.path("manifests"))
	run.says("it exited with status 3")
	m.eventually("the second restart waits", func() bool {
		return strings.Contains(m.get("web").message("Reconciling"), "restart 2 in a row in ")
	})
	s := m.get("web")
	if s.Status.LastExit == nil || s.Status.LastExit.Code == nil || *s.Status.LastExit.Code != 3 {
		t.Errorf("get says %+v", s.Status)
	}
	if n := w.starts(); n != 2 {
		t.Errorf("it was started %d times, want 2: the first restart waits for nothing, the second for half a minute", n)
	}
	run.interrupt()
}

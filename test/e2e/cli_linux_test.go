package e2e

import (
	"os"
	"strings"
	"testing"
)

func TestDiffExitCodes(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	w := m.witness("web").configured("one")
	file := w.declare()
	m.exits(1, "diff", "-f", file).said("daemon/web", "created")
	m.ok("apply", "-f", file)
	m.ok("diff", "-f", file).printed("")

	w.configured("two").args = append(w.args, "-exit=-2")
	w.declare()
	d := m.exits(1, "diff", "-f", file)
	d.said("manifest changed", "reload", "restart", "spec.args", "+-exit=-2")
	m.exits(2, "diff", "-f", m.path("nowhere.yaml"))
	m.exits(2, "diff", "-f", m.write("bad.yaml", "kind: [\n"))
	if w.pid(); w.starts() != 1 {
		t.Error("diff touched the daemon")
	}
	m.ok("apply", "-f", file)
	m.write("web.conf", "somebody else's")
	m.exits(1, "diff", "-f", file).said("drift")
}

// TestBadInputTouchesNothing gives every verb that takes manifests a good one and a bad one. All mistakes are told, and nothing is done.
func TestBadInputTouchesNothing(t *testing.T) {
	t.Parallel()
	const head = "apiVersion: reconciler.dev/v1\nkind: DaemonSpec\nmetadata: {name: bad}\nspec:\n"
	for _, bad := range []struct {
		name, text string
		says       []string
	}{
		{"an unknown field", head + "  binary: sleep\n  argz: [1]\n", []string{"bad.yaml:6:3", "argz", "args"}},
		{"another API", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: bad}\n", []string{"bad.yaml:1", "reconciler.dev/v1"}},
		{"a name twice", head + "  binary: sleep\n---\n" + head + "  binary: sleep\n", []string{"bad.yaml:9", "declared twice", "bad.yaml:1"}},
		{"a name that another file has", strings.Replace(head, "bad", "web", 1) + "  binary: sleep\n", []string{"bad.yaml", "web.yaml"}},
		{"a binary that isn't there", head + "  binary: no-such-program\n", []string{"bad.yaml:5", "no-such-program"}},
		{"a bad unit", head + "  binary: sleep\n  stop: {gracePeriod: 5 parsecs}\n", []string{"bad.yaml:6", "parsecs"}},
		{"a NUL", head + "  binary: sleep\n  args: [\"a\\0b\"]\n", []string{"bad.yaml:6", "NUL"}},
		{"a cycle", head + "  binary: sleep\n  dependsOn: [{name: bad}]\n", []string{"bad"}},
		{"a host that is an option", head + "  binary: sleep\n  host: -oProxyCommand=x\n", []string{"bad.yaml:6", "host"}},
		{"two mistakes", head + "  binary: sleep\n  argz: [1]\n  nice: 99\n", []string{"bad.yaml:6", "bad.yaml:7"}},
		{"an empty stream", "", []string{}},
	} {
		t.Run(bad.name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			w := m.witness("web")
			w.declare()
			m.write("manifests/bad.yaml", bad.text)
			if bad.text == "" { // a folder with nothing in it but that
				m.remove("manifests/web.yaml")
			}
			for _, verb := range [][]string{{"apply"}, {"apply", "--prune"}, {"apply", "--dry-run=server"}, {"diff"}, {"validate"}, {"plan"}, {"run"}} {
				c := m.exits(2, append(verb, "-f", m.path("manifests"))...)
				c.said(bad.says...)
			}
			if w.everStarted() || len(m.all()) != 0 {
				t.Errorf("something was done: %v", m.all())
			}
		})
	}
}

func TestValidateLooksAtNothing(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	w := m.witness("web")
	m.ok("validate", "-f", w.declare())
	m.ok("apply", "--dry-run=client", "-f", w.declare()).printed("daemon/web valid (dry run)")
	if _, err := os.Stat(m.root); !os.IsNotExist(err) {
		t.Errorf("the directory of reconciler was made: %v", err)
	}
	m.ok("apply", "--dry-run=server", "-f", w.declare()).printed("daemon/web created (dry run)")
	if w.everStarted() {
		t.Error("a dry run started it")
	}
}

func TestStdinAndJSON(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	a, b := m.witness("a"), m.witness("b")
	in := m.with()
	in.stdin = a.manifest() + "---\n" + b.manifest()
	in.ok("apply", "-f", "-").printed("daemon/a created\ndaemon/b created")
	in.ok("diff", "-f", "-")
	in.stdin = ""
	in.exits(2, "apply", "-f", "-", "--prune", "--prune-guard=-1")
	a.pid()

	// What get prints is a manifest again.
	again := m.with()
	again.stdin = m.ok("get", "-o", "yaml").stdout.String()
	again.ok("apply", "-f", "-").printed("daemon/a unchanged\ndaemon/b unchanged")

	c := m.witness("c")
	json := `{"apiVersion": "reconciler.dev/v1", "kind": "DaemonSpec", "metadata": {"name": "c"},
 "spec": {"binary": "` + witness(t) + `", "args": ["-name=c", "-dir=` + m.dir + `"]}}`
	m.ok("apply", "-f", m.write("json/c.json", json)).printed("daemon/c created")
	c.pid()
	m.exits(2, "apply", "-f", m.write("json/c.json", strings.Replace(json, `"args"`, `"arks"`, 1))).said("c.json:2", "arks")
}

func TestWaitAndDelete(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	w := m.witness("web").listening().configured("sick")
	m.ok("apply", "-f", w.declare())
	w.goesBy("sick")
	m.exits(3, "wait", "web", "--for=condition=Ready", "--timeout=1s").said("web", "Ready")
	m.exits(3, "wait", "web", "--for=delete", "--timeout=0")
	m.ok("wait", "web", "--for=condition=Ready=False", "--timeout=10s")
	waiting := m.start("wait", "web", "--for=condition=Ready", "--timeout=20s")
	m.ok("apply", "-f", w.configured("well").declare())
	if waiting.wait(); waiting.code() != 0 {
		t.Errorf("exit %d:\n%v", waiting.code(), waiting)
	}
	m.exits(1, "wait", "nobody", "--for=condition=Ready").said("nobody")
	m.ok("wait", "nobody", "--for=delete")

	gone := m.start("wait", "web", "--for=delete", "--timeout=20s")
	m.ok("delete", "web").printed("daemon/web deleted")
	if c := w.copies(); len(c) > 0 {
		t.Errorf("it was deleted and lives: %v", c)
	}
	if gone.wait(); gone.code() != 0 {
		t.Errorf("exit %d:\n%v", gone.code(), gone)
	}
	m.exits(1, "delete", "web").said("not found")
	m.ok("delete", "web", "--ignore-not-found").printed("")
	m.ok("delete", "-f", m.path("manifests"), "--ignore-not-found")
	m.exits(1, "get", "web").said("not found")
	if _, err := os.Stat(m.path("web.conf")); !os.IsNotExist(err) {
		t.Errorf("its config file is left: %v", err)
	}
	m.ok("logs", "web").said("is up") // logs stay
}

func TestPlanFile(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	w := m.witness("web")
	plan := m.path("web.plan")
	m.ok("plan", "-f", w.declare(), "-o", plan).said("daemon/web created", "start")
	if w.everStarted() {
		t.Fatal("plan started it")
	}
	m.ok("apply", "--plan", plan).printed("daemon/web created")
	pid := w.pid()
	m.exits(5, "apply", "--plan", plan)

	w.args = append(w.args, "-exit=-2")
	m.ok("plan", "-f", w.declare(), "-o", plan)
	w.args = append(w.args, "-exit=-3")
	w.declare()
	m.exits(5, "apply", "--plan", plan).said("manifest")
	if w.pid() != pid {
		t.Error("a refused plan touched the daemon")
	}

	m.ok("plan", "-f", w.declare(), "-o", plan)
	m.ok("restart", "web")
	moved := w.pid()
	m.exits(5, "apply", "--plan", plan).said("restarted")
	if w.pid() != moved {
		t.Error("a refused plan touched the daemon")
	}
}

func TestDependenciesAreUpFirst(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	db, web := m.witness("db").listening(), m.witness("web")
	web.spec = "  dependsOn: [{name: db}]\n"
	web.declare()
	m.exits(1, "apply", "-f", m.path("manifests")).said(`depends on "db"`)
	db.declare()
	m.ok("apply", "-f", m.path("manifests"))
	db.pid()
	web.pid()
	events := m.ok("events").stdout.String()
	if strings.Index(events, "daemon/db") > strings.Index(events, "daemon/web") {
		t.Errorf("web was started before db:\n%s", events)
	}
	m.ok("delete", "-f", m.path("manifests"))
}

// TestEndsTheWholeTree gives a daemon children that left its session and are deaf to SIGTERM, and which lose their parent.
func TestEndsTheWholeTree(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"stop", "delete"} {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			w := m.witness("web", "-children=3").listening()
			w.spec += "  stop: {gracePeriod: 200ms}\n"
			m.ok("apply", "--wait", "-f", w.declare())
			if n := len(w.copies()); n != 4 {
				t.Fatalf("%d processes live, want 4", n)
			}
			m.ok(verb, "web")
			if left := m.mark.alive(t); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
	t.Run("start after its main process was killed", func(t *testing.T) {
		t.Parallel()
		m := newMachine(t)
		w := m.witness("web", "-children=3").listening()
		m.ok("apply", "--wait", "-f", w.declare())
		if err := m.mark.kill(m.get("web").Status.PID); err != nil {
			t.Fatal(err)
		}
		m.eventually("get says that web has ended", func() bool { return m.get("web").Status.Phase == "Failed" })
		m.ok("apply", "--wait", "-f", w.declare()).printed("daemon/web healed")
		if n := len(w.copies()); n != 4 {
			t.Errorf("%d processes live, want 4: %v", n, w.copies())
		}
	})
}

// TestInterruptedApply shows that ^C ends an apply after the step in hand, and that it says where it stopped.
func TestInterruptedApply(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	w := m.witness("web").listening().configured("sick")
	apply := m.start("apply", "--wait", "--timeout=1m", "-f", w.declare())
	w.goesBy("sick")
	apply.interrupt()
	if apply.code() != 130 {
		t.Errorf("exit %d, want 130:\n%v", apply.code(), apply)
	}
	apply.said("daemon web", "interrupted")
	w.pid()
	m.ok("apply", "-f", w.declare()).printed("daemon/web unchanged")
}

func TestHelpAndVersion(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.ok("version")
	m.ok("--help").said("kubectl for plain daemons", "Exit codes")
	m.ok("schema").said(`"$schema"`, "DaemonSpec")
	m.ok("explain", "spec.health").said("health", "interval")
	m.exits(2, "explain", "spec.helth").said("health")
	m.exits(2, "aply").said("apply")
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		m.ok("completion", shell)
	}
	if _, err := os.Stat(m.root); !os.IsNotExist(err) {
		t.Errorf("the directory of reconciler was made: %v", err)
	}
}

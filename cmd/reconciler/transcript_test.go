package main

import (
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

// TestTranscripts types whole sessions at a machine in memory, in a bubble of time that begins at midnight of 2000-01-01, and compares what a person would have
// seen: stdout as it is, stderr after "! ", and exit codes other than 0.
func TestTranscripts(t *testing.T) {
	transcripts(t, func(d *desk) { d.host = newBubbleHost() }, map[string]func(*desk){
		"apply":     applySession,
		"diff":      diffSession,
		"get":       getSession,
		"describe":  describeSession,
		"delete":    deleteSession,
		"power":     powerSession,
		"plan":      planSession,
		"rollout":   rolloutSession,
		"prune":     pruneSession,
		"owners":    ownersSession,
		"wait":      waitSession,
		"logs":      logsSession,
		"events":    eventsSession,
		"fallback":  fallbackSession,
		"doctor":    doctorSession,
		"service":   serviceSession,
		"complete":  completeSession,
		"mistakes":  mistakesSession,
		"adopt":     adoptSession,
		"unmanaged": unmanagedSession,
	})
}

// transcripts types each session at a desk that prepare has made, and compares what is seen with the golden file of its name.
func transcripts(t *testing.T, prepare func(*desk), sessions map[string]func(*desk)) {
	root := mustGetwd(t)
	for name, session := range sessions {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			synctest.Test(t, func(t *testing.T) {
				d.t = t
				prepare(d)
				session(d)
			})
			d.t = t
			d.golden(root, name)
		})
	}
}

func applySession(d *desk) {
	d.must(0, "apply", "-f", ".", "--dry-run=client")
	d.must(0, "apply", "-f", ".", "--dry-run=server")
	d.must(0, "apply", "-f", ".")
	d.must(0, "apply", "-f", ".")
	d.edit("web.yaml", "hello", "good day")
	d.must(0, "apply", "-f", "web.yaml", "-o", "name")
	d.host.Fake().Crash("db", spec.Exit{Known: true, Signal: "SIGKILL"})
	d.note("db is killed")
	d.must(0, "apply", "-f", ".", "--dry-run=server", "-o", "json")
	d.must(0, "apply", "-f", ".", "--wait")
}

func diffSession(d *desk) {
	d.must(1, "diff", "-f", ".")
	d.must(0, "apply", "-f", ".")
	d.must(0, "diff", "-f", ".")
	d.edit("web.yaml", `"601"`, `"602", "--token=\u001b[31mred"`)
	d.edit("web.yaml", "64M", "128M")
	d.must(1, "diff", "-f", ".")
	d.must(0, "apply", "-f", ".")
	d.host.Fake().Crash("web", spec.Exit{Known: true, Code: 3})
	d.note("web ends with exit status 3")
	d.must(1, "diff", "-f", ".")
	d.must(0, "apply", "-f", ".")
	d.host.Fake().Drift("db", spec.Drift{Field: "spec.files[0]", Want: "mode 0644", Have: "mode 0666", Class: spec.Reloaded})
	d.note("somebody changes a file of db")
	d.must(1, "diff", "-f", ".")
	d.must(1, "diff", "-f", "db.yaml", "--prune", "--prune-guard=5")
	d.must(1, "diff", "-f", "db.yaml", "--prune", "--prune-guard=5", "-o", "json")
	d.must(2, "diff", "-f", "nothing.yaml")
	d.must(2, "diff")
}

func getSession(d *desk) {
	d.must(0, "get")
	d.must(0, "get", "-o", "json")
	d.must(0, "apply", "-f", ".", "--wait")
	time.Sleep(3 * time.Minute)
	d.host.Fake().Crash("db", spec.Exit{Known: true, Code: 1})
	d.note("three minutes later db ends with exit status 1")
	d.must(0, "get")
	d.must(0, "get", "-o", "wide")
	d.host.Uses(func(s *spec.Sample) {
		s.PIDs = []int{900, 901, 902, s.PIDs[0], 9001, 9002}
		s.Ports = []spec.Port{{Network: "udp", Address: "0.0.0.0", Port: 53, PID: 900}, {Network: "tcp", Address: "0.0.0.0", Port: 80, PID: 900}, {Network: "tcp6", Address: "::", Port: 80, PID: 900}, {Network: "tcp6", Address: "::1", Port: 9640, PID: 901}}
	})
	d.note("web has six processes, and listens")
	d.must(0, "get", "-o", "wide")
	d.must(0, "get", "daemon/web", "--no-headers")
	d.must(0, "get", "-f", "web.yaml")
	d.must(2, "get", "-f", "web.yaml", "db")
	d.must(0, "get", "-l", "tier=data", "-o", "name")
	d.must(0, "get", "-o", "yaml", "db")
	d.must(0, "get", "-o", "json")
	d.must(0, "get", "-o", `go-template={{range .items}}{{.metadata.name}} is {{.status.phase}}{{"\n"}}{{end}}`)
	d.must(1, "get", "web", "nobody")
	d.host.Fake().Unknown("web", "permission denied")
	d.note("web can't be looked at")
	d.must(0, "get", "web")
}

func describeSession(d *desk) {
	d.must(0, "apply", "-f", ".", "--wait")
	time.Sleep(time.Hour)
	d.host.Fake().Drift("web", spec.Drift{Field: "spec.files[0]", Want: "mode 0644", Have: "mode 0666", Class: spec.Reloaded})
	d.must(0, "stop", "db")
	d.must(0, "rollout", "pause", "web")
	d.must(0, "describe", "web", "daemon/db")
	d.must(1, "describe", "nobody")
}

func deleteSession(d *desk) {
	d.must(0, "apply", "-f", ".")
	d.must(1, "delete", "web", "nobody")
	d.must(0, "delete", "nobody", "--ignore-not-found")
	d.must(0, "delete", "-f", ".", "--ignore-not-found", "--grace-period=5")
	d.must(0, "delete", "-l", "app=shop", "--ignore-not-found")
	d.must(1, "delete", "-l", "app=shop")
	d.must(2, "delete", "web", "--now", "--grace-period", "1m")
	d.must(2, "delete", "web", "--wait=false")
	d.must(2, "delete")
	d.must(2, "delete", "web", "-l", "app=shop")
}

func powerSession(d *desk) {
	d.must(0, "apply", "-f", ".")
	d.must(0, "stop", "web")
	d.must(0, "stop", "web")
	d.must(0, "apply", "-f", ".")
	d.must(0, "get", "web")
	d.must(0, "start", "-l", "tier=front", "--wait")
	d.must(0, "restart", "web", "-o", "json")
	d.must(1, "restart", "nobody")
	d.must(0, "get")
}

func planSession(d *desk) {
	d.must(0, "plan", "-f", ".", "-o", "shop.plan")
	d.must(0, "apply", "--plan", "shop.plan")
	d.must(5, "apply", "--plan", "shop.plan")
	d.edit("web.yaml", "hello", "good day")
	d.must(0, "plan", "-f", ".", "-o", "shop.plan")
	d.edit("web.yaml", "good day", "good night")
	d.must(5, "apply", "--plan", "shop.plan")
	d.must(2, "apply", "--plan", "shop.plan", "--prune")
	d.must(2, "apply", "--plan", "web.yaml")
	d.must(2, "apply", "--plan", "nowhere.plan")
}

func rolloutSession(d *desk) {
	d.must(0, "apply", "-f", ".", "--wait")
	d.edit("web.yaml", "hello", "good day")
	d.must(0, "apply", "-f", ".", "--wait")
	d.must(0, "rollout", "history", "web")
	d.must(0, "rollout", "history", "web", "--revision=1")
	d.must(1, "rollout", "history", "web", "--revision=9")
	d.must(0, "rollout", "undo", "web")
	d.must(0, "rollout", "history", "web")
	d.must(0, "rollout", "status", "web")
	d.must(1, "rollout", "undo", "web", "--to-revision=9")
	d.must(1, "rollout", "status", "nobody")
	d.must(0, "rollout", "history", "web", "db")
	d.must(2, "rollout", "history", "web", "db", "--revision=1")
	d.must(0, "rollout", "pause", "web")
	d.must(0, "rollout", "pause", "web")
	d.must(1, "rollout", "status", "-f", ".")
	d.edit("web.yaml", "good day", "hello")
	d.must(0, "rollout", "status", "-f", ".")
	d.edit("web.yaml", "hello", "good night")
	d.must(0, "apply", "-f", ".")
	d.must(1, "diff", "-f", ".")
	d.must(0, "rollout", "status", "web")
	d.must(1, "rollout", "status", "-f", ".")
	d.must(0, "rollout", "resume", "web")
	d.must(0, "apply", "-f", ".", "--wait")
	d.must(0, "rollout", "status", "web")
	d.must(0, "rollout", "restart", "-f", ".", "--wait")
	d.must(0, "rollout", "status", "web", "db")
	d.must(1, "rollout", "undo", "db")
	d.must(2, "rollout", "sideways")
}

func pruneSession(d *desk) {
	for _, name := range []string{"cache", "queue"} {
		d.write(name+".yaml", "{apiVersion: reconciler.dev/v1, kind: DaemonSpec, metadata: {name: "+name+"}, spec: {binary: /bin/sleep}}")
	}
	d.must(0, "apply", "-f", ".")
	d.must(5, "apply", "-f", "db.yaml", "--prune", "--dry-run=server")
	d.must(5, "apply", "-f", "db.yaml", "--prune")
	d.must(2, "diff", "-f", "db.yaml", "--prune")
	d.must(5, "plan", "-f", "db.yaml", "--prune", "-o", "prune.plan")
	d.must(0, "apply", "-f", "db.yaml", "-f", "web.yaml", "--prune", "--prune-guard=2")
	d.note("cache and queue are gone")
	if err := os.Remove("web.yaml"); err != nil {
		d.t.Fatal(err)
	}
	d.note("web.yaml is removed")
	for _, name := range []string{"cache.yaml", "queue.yaml"} {
		if err := os.Remove(name); err != nil {
			d.t.Fatal(err)
		}
	}
	d.must(0, "apply", "-f", ".", "--prune", "--dry-run=server")
	d.must(0, "apply", "-f", ".", "--prune")
	d.must(0, "apply", "-f", ".", "--prune", "--set=other", "--force")
	d.must(2, "apply", "-f", ".", "--prune", "-l", "app=shop")
	d.must(2, "apply", "-f", ".", "--prune-guard=3")
}

func ownersSession(d *desk) {
	d.must(0, "apply", "-f", "db.yaml", "--set=one")
	d.must(6, "apply", "-f", "db.yaml", "--set=two")
	d.must(0, "apply", "-f", "db.yaml", "--set=two", "--force")
	d.must(0, "get", "-o", "wide")
}

func waitSession(d *desk) {
	d.must(0, "apply", "-f", ".")
	d.must(0, "wait", "web", "db", "--for=condition=Ready", "--timeout=1m")
	d.must(3, "wait", "web", "--for=condition=Ready=False", "--timeout=2s")
	d.must(3, "wait", "web", "--for=delete", "--timeout=0")
	d.must(0, "wait", "web", "--for=create", "--for=condition=ready=true", "--timeout=0")
	d.must(0, "wait", "nobody", "--for=delete")
	d.must(1, "wait", "nobody", "--for=condition=Ready")
	d.must(2, "wait", "web", "--for=happiness")
	d.must(2, "wait", "web")
}

func logsSession(d *desk) {
	d.must(0, "apply", "-f", ".")
	log := func(name, text string) {
		d.host.Fake().WriteFile("/log/"+name+".log", driverstest.File{Content: []byte(text)})
	}
	log("web", "listening\nhello\nbye\n")
	log("db", "ready\n")
	d.must(0, "logs", "web")
	d.must(0, "logs", "daemon/web", "--tail=1")
	d.must(0, "logs", "-l", "app=shop", "--tail=2")
	d.must(0, "logs", "web", "db", "--prefix=false")
	d.must(1, "logs", "nobody")
	d.must(2, "logs")
	d.must(2, "logs", "web", "-fp")
}

func eventsSession(d *desk) {
	d.must(0, "events")
	d.must(0, "apply", "-f", ".")
	time.Sleep(2 * time.Minute)
	d.must(0, "restart", "web")
	d.must(0, "events")
	d.must(0, "events", "--for=daemon/web", "--since=1m", "--no-headers")
	d.must(0, "events", "--types=Warning", "-o", "json")
}

func completeSession(d *desk) {
	d.must(0, "apply", "-f", ".")
	d.must(0, "__complete", "get", "")
	d.must(0, "__complete", "describe", "daemon/w")
	d.must(0, "__complete", "stop", "web", "")
	d.must(0, "__complete", "rollout", "undo", "web", "")
	d.must(0, "__complete", "apply", "--dry-run", "=")
	d.must(0, "__complete", "apply", "--dry-run=")
	d.must(0, "__complete", "get", "-o", "")
	d.must(0, "__complete", "wait", "web", "--for", "")
	d.must(0, "__complete", "rollout", "")
}

// adoptSession has a machine whose driver can't take over what runs, and so shows who is refused before it is asked.
func adoptSession(d *desk) {
	d.must(2, "adopt", "web", "-f", "web.yaml")
	d.must(2, "adopt", "web", "--from", "pid=7")
	d.must(2, "adopt", "web", "-f", "web.yaml", "--from", "pid=seven")
	d.must(2, "adopt", "nobody", "-f", "web.yaml", "--from", "pid=7")
	d.must(0, "adopt", "web", "-f", "web.yaml", "--from", "pid=7", "--dry-run=client")
	d.must(1, "adopt", "db", "-f", "db.yaml", "--from", "pid=7", "--yes")
	d.must(0, "apply", "-f", "db.yaml")
	d.must(6, "adopt", "db", "-f", "db.yaml", "--from", "unit=db.service", "--yes")
	d.must(0, "stop", "db")
	d.must(6, "adopt", "db", "-f", "db.yaml", "--from", "pid=7", "--yes")
}

// unmanagedSession has neighbours that try to be more than text.
func unmanagedSession(d *desk) {
	d.must(1, "get", "--unmanaged")
	d.host.Fake().Neighbours()
	d.must(0, "get", "--unmanaged")
	d.must(0, "get", "--unmanaged", "-o", "json")
	d.must(0, "apply", "-f", "db.yaml", "--wait")
	pid := 1001
	d.host.Fake().Neighbours(
		drivers.Stranger{Kind: drivers.StrangerUnit, Name: "old.service", Cgroup: "/shop.slice/old.service", PIDs: []int{7, 8}, Command: []string{"/usr/bin/old", "-v"}, User: "shop", Since: time.Now().Add(-time.Hour)},
		drivers.Stranger{Kind: drivers.StrangerCgroup, Name: "/shop.slice/x\x1b[31m", Cgroup: "/shop.slice/x\x1b[31m", PIDs: []int{9}, Command: []string{"sh", "-c", "\x1b]0;title\a\nsecond line <script>", strings.Repeat("long ", 100)}, Owner: "of daemon web\u202e of another reconciler"},
		drivers.Stranger{Kind: drivers.StrangerCgroup, Name: "/shop.slice/ours", Cgroup: "/shop.slice/ours", PIDs: []int{pid}},
	)
	d.note("one of them has no process but db's")
	d.must(0, "get", "--unmanaged")
	d.must(0, "get", "--unmanaged", "-o", "wide", "--no-headers")
	d.must(0, "get", "--unmanaged", "-o", "name")
	d.must(0, "get", "--unmanaged", "-o", "json")
	d.must(0, "get", "--unmanaged", "-o", "go-template={{range .items}}{{.kind}}{{end}}")
	d.must(2, "get", "--unmanaged", "web")
	d.must(2, "get", "--unmanaged", "-w")
}

func mistakesSession(d *desk) {
	d.must(2, "aply", "-f", ".")
	d.must(2, "apply")
	d.must(2, "apply", "web.yaml")
	d.must(2, "apply", "-f", ".", "--dry-run")
	d.must(2, "apply", "--dry-run", "-f", ".")
	d.must(2, "apply", "-f", ".", "--dry-run=yes")
	d.must(2, "apply", "-f", ".", "--timeout=soon")
	d.must(2, "get", "-o", "jsonpath={.items}")
	d.must(2, "get", "-o", "go-template={{")
	d.must(2, "get", "web", "-l", "app=shop")
	d.must(2, "logs", "web", "--since=1m", "--since-time=2000-01-01T00:00:00Z")
	d.must(2, "logs", "web", "--since-time=yesterday")
	d.must(2, "events", "--types=Bad")
	d.must(2, "run")
	d.must(2, "run", "-f", ".", "--resync=1ms")
	d.must(2, "run", "-f", ".", "--listen=9640")
	d.must(2, "run", "-f", ".", "--listen=:9640")
	d.must(2, "run", "-f", ".", "--listen=0.0.0.0:9640", "--listen-token-file=none")
	d.must(2, "run", "-f", ".", "--listen-token-file=token")
	d.must(2, "explain", "spec.helth")
}

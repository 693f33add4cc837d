package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"reconciler.dev/reconciler/internal/doctor"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

// TestFleetTranscripts types sessions at a machine from which others are reached, some of which can't be.
func TestFleetTranscripts(t *testing.T) {
	transcripts(t, (*desk).settleFleet, map[string]func(*desk){
		"fleet-apply":       fleetApplySession,
		"fleet-unreachable": fleetUnreachableSession,
		"fleet-verbs":       fleetVerbsSession,
		"fleet-prune":       fleetPruneSession,
		"fleet-plan":        fleetPlanSession,
		"fleet-mistakes":    fleetMistakesSession,
		"fleet-doctor":      fleetDoctorSession,
		"hosts":             hostsSession,
	})
}

// settleFleet puts the desk before two machines, of which one calls for a better driver, and manifests that name them in every way: web runs on both, db here, and batch where
// nobody declared the host.
func (d *desk) settleFleet() {
	d.host = newBubbleHost()
	d.far = map[string]*driverstest.Far{}
	for _, name := range []string{"gpu-1", "gpu-2", "ann@old"} {
		d.far[name] = driverstest.NewFar(name, newBubbleHost())
	}
	d.far["gpu-2"].Host().Lacks(&drivers.Unavailable{Kind: spec.DriverSystemd, Reason: "systemd isn't running", Remedy: "boot it"})
	for _, f := range []string{"web.yaml", "db.yaml", "token"} {
		if err := os.Remove(f); err != nil {
			d.t.Fatal(err)
		}
	}
	d.write("hosts.yaml", `apiVersion: reconciler.dev/v1
kind: Host
metadata: {name: gpu-1, labels: {gpu: "yes"}}
spec: {address: 10.0.0.1}
---
apiVersion: reconciler.dev/v1
kind: Host
metadata: {name: gpu-2, labels: {gpu: "yes"}}
spec: {address: 10.0.0.2, user: ops}
`)
	d.daemon("web", "hostSelector: {matchLabels: {gpu: \"yes\"}}, args: [\"$(HOST_NAME)\"]")
	d.daemon("db", "host: desk")
	d.daemon("batch", "host: ann@old")
}

// daemon writes the manifest of a daemon.
func (d *desk) daemon(name, more string) {
	d.t.Helper()
	d.write(name+".yaml", "apiVersion: reconciler.dev/v1\nkind: DaemonSpec\nmetadata: {name: "+name+", labels: {app: shop}}\nspec: {binary: /bin/sleep, restart: {policy: Never}, "+more+"}\n")
}

// remove removes a file.
func (d *desk) remove(file string) {
	d.t.Helper()
	if err := os.Remove(file); err != nil {
		d.t.Fatal(err)
	}
	d.note(file + " is removed")
}

// rename moves a file, into a folder that it makes.
func (d *desk) rename(from, to string) {
	d.t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.Rename(from, to)); err != nil {
		d.t.Fatal(err)
	}
}

// cut makes a machine unreachable.
func (d *desk) cut(name string) {
	d.far[name].Cut("no route to host")
	d.note(name + " can't be reached")
}

func (d *desk) mend(name string) {
	d.far[name].Mend()
	d.far[name].Notice()
	d.note(name + " can be reached again")
}

func fleetApplySession(d *desk) {
	d.must(0, "validate", "-f", ".")
	d.must(0, "apply", "-f", ".", "--dry-run=client")
	d.must(1, "diff", "-f", ".", "--host=gpu-1,localhost")
	d.must(0, "apply", "-f", ".", "--dry-run=server")
	d.must(0, "apply", "-f", ".")
	d.must(0, "apply", "-f", ".", "--wait")
	d.must(0, "diff", "-f", ".")
	d.edit("web.yaml", "Never", "OnFailure")
	d.must(0, "apply", "-f", ".", "--host=gpu-2")
	d.must(0, "apply", "-f", ".", "-o", "name", "--max-parallel-hosts=1")
	d.must(0, "apply", "-f", "db.yaml")
	d.must(0, "apply", "-f", "web.yaml", "-f", "hosts.yaml", "-o", "json")
}

func fleetUnreachableSession(d *desk) {
	d.cut("gpu-1")
	d.must(4, "apply", "-f", ".")
	d.must(4, "apply", "-f", ".", "--dry-run=server", "-o", "json")
	d.must(2, "diff", "-f", ".")
	d.must(4, "plan", "-f", ".")
	d.must(1, "apply", "-f", ".", "--host=gpu-1")
	d.must(4, "get", "--host=gpu-1,gpu-2", "web")
	d.must(4, "get", "--host=gpu-1,gpu-2")
	d.must(1, "get", "--host=gpu-1")
	d.must(4, "restart", "-f", ".")
	d.must(4, "describe", "-f", "web.yaml", "-f", "hosts.yaml")
	d.must(4, "wait", "-f", "web.yaml", "-f", "hosts.yaml", "--for=condition=Ready")
	d.must(4, "logs", "web", "--host", "gpu-1,gpu-2")
	d.must(4, "events", "--host", "gpu-1,gpu-2", "--for=web")
	d.must(0, "events", "--for=host/gpu-1")
	d.mend("gpu-1")
	d.must(0, "apply", "-f", ".")
}

func fleetVerbsSession(d *desk) {
	d.must(0, "apply", "-f", ".", "--wait")
	time.Sleep(time.Minute)
	d.must(0, "get", "--host=gpu-1")
	d.must(0, "get", "--host=gpu-1,gpu-2,localhost", "-o", "wide")
	d.must(0, "get", "--host=gpu-2", "web", "-o", "name")
	d.must(1, "get", "--host=gpu-2", "db")
	d.must(0, "stop", "--host", "gpu-1,gpu-2", "web")
	d.must(0, "get", "--host", "gpu-1,gpu-2", "web")
	d.must(0, "start", "-f", ".")
	d.must(0, "restart", "-l", "app=shop", "--host", "gpu-1,ann@old")
	d.must(1, "restart", "-l", "app=other", "--host", "gpu-1,ann@old")
	d.must(4, "restart", "web", "--host", "gpu-1,ann@old")
	d.must(0, "describe", "web", "--host=gpu-2")
	d.must(0, "events", "--host=gpu-1,gpu-2", "--since=1s")
	d.must(0, "logs", "web", "--host", "gpu-1", "--tail=1")
	d.must(0, "wait", "--for=condition=Ready", "web", "--host=gpu-2")
	d.must(3, "wait", "--for=delete", "--timeout=0", "web", "--host=gpu-1,gpu-2")
	d.must(0, "rollout", "history", "web", "--host=gpu-1")
	d.must(0, "rollout", "history", "web", "--host=gpu-1,gpu-2")
	d.must(0, "rollout", "pause", "web", "--host=gpu-1,gpu-2")
	d.must(0, "rollout", "resume", "web", "--host=gpu-1,gpu-2")
	d.must(1, "delete", "web", "--host=gpu-1,localhost")
	d.must(0, "delete", "-f", ".", "--ignore-not-found")
	d.must(0, "get", "--host=gpu-1,gpu-2")
	d.note("hosts.yaml is among those that are declared for good")
	d.rename("hosts.yaml", "hosts.d/hosts.yaml")
	d.must(0, "apply", "-f", ".", "--state-dir=.")
	d.must(0, "get", "-A", "--state-dir=.")
	d.must(0, "__complete", "get", "--state-dir=.", "--host", "")
	d.must(0, "__complete", "get", "--host", "gpu-1", "")
}

func fleetPruneSession(d *desk) {
	for _, name := range []string{"a", "b", "c"} {
		d.daemon(name, "host: gpu-1")
	}
	d.must(0, "apply", "-f", ".")
	for _, name := range []string{"a", "b", "c"} {
		d.remove(name + ".yaml")
	}
	d.must(0, "apply", "-f", ".", "--prune", "--dry-run=server")
	d.remove("db.yaml")
	d.must(5, "apply", "-f", ".", "--prune")
	d.must(5, "apply", "-f", ".", "--prune", "--dry-run=server")
	d.cut("gpu-1")
	d.must(4, "apply", "-f", ".", "--prune", "--prune-guard=4")
	d.mend("gpu-1")
	d.must(0, "apply", "-f", ".", "--prune", "--prune-guard=4")
	d.note("db moves to gpu-2, and then to a host that can't be reached")
	d.daemon("db", "host: gpu-2")
	d.must(0, "apply", "-f", ".")
	d.edit("db.yaml", "gpu-2", "gpu-1")
	d.cut("gpu-1")
	d.must(4, "apply", "-f", ".", "--prune")
	d.must(0, "get", "--host", "gpu-2")
	d.mend("gpu-1")
	d.must(0, "apply", "-f", ".", "--prune")
	d.note("the host of batch isn't declared, and so it is looked at only where it is named")
	d.remove("batch.yaml")
	d.must(0, "apply", "-f", ".", "--prune")
	d.must(5, "apply", "-f", ".", "--prune", "--host=ann@old")
	d.must(0, "apply", "-f", ".", "--prune", "--host=ann@old", "--prune-guard=1")
	d.must(2, "apply", "-f", ".", "--host=ann@old")
}

func fleetPlanSession(d *desk) {
	d.must(0, "plan", "-f", ".", "-o", "shop.plan")
	d.must(0, "apply", "--plan", "shop.plan")
	d.must(5, "apply", "--plan", "shop.plan")
	d.edit("web.yaml", "Never", "OnFailure")
	d.must(0, "plan", "-f", ".", "--host=gpu-2", "-o", "shop.plan")
	d.must(0, "apply", "--plan", "shop.plan")
	d.must(2, "apply", "--plan", "shop.plan", "--host=gpu-1")
}

func fleetMistakesSession(d *desk) {
	d.must(2, "get", "-A", "--host=gpu-1")
	d.must(2, "stop", "-A", "-f", ".")
	d.must(2, "apply", "-f", ".", "--host=gpu-9")
	d.must(2, "apply", "-f", ".", "--max-parallel-hosts=-1")
	d.must(2, "apply", "-f", "web.yaml")
	d.must(2, "apply", "-f", "hosts.yaml")
	d.daemon("rel", "host: gpu-1")
	d.edit("rel.yaml", "/bin/sleep", "./sleep")
	d.must(2, "apply", "-f", ".")
	d.remove("rel.yaml")
	d.note("gpu-2 has another set's web")
	d.must(0, "apply", "-f", ".", "--set=other", "--host=gpu-2")
	d.must(4, "apply", "-f", ".")
	d.note("gpu-1 and ann@old turn out to be two ways to one machine")
	d.keeps = map[string]string{"gpu-1": "one", "gpu-2": "two", "ann@old": "one"}
	d.must(2, "diff", "-f", ".")
	d.must(2, "apply", "-f", ".", "--prune")
	d.must(2, "restart", "--host=gpu-1,ann@old", "web")
	d.must(0, "get", "--host=gpu-1,ann@old", "-o", "name")
}

func fleetDoctorSession(d *desk) {
	d.facts = doctor.Facts{
		Platform: doctor.Platform{OS: "linux", Arch: "amd64", Kernel: "6.1.0"}, User: "root", Init: "systemd", Systemd: true, SystemdVersion: "252",
		Clock: doctor.Clock{Known: true, Synchronised: true},
	}
	d.must(0, "doctor", "--host=gpu-1,gpu-2")
	d.cut("gpu-1")
	d.must(4, "doctor", "-f", ".")
	d.must(4, "doctor", "-f", ".", "--host=gpu-1,gpu-2", "-o", "json")
	d.must(1, "doctor", "-f", ".", "--host=gpu-2")
	d.edit("web.yaml", "/bin/sleep", "sleep/")
	d.must(1, "doctor", "-f", ".", "--host=gpu-2")
}

func hostsSession(d *desk) {
	d.keys = map[string]string{"10.0.0.1": keyOf(1), "db.example.org": keyOf(2)}
	typed := func(code int, args ...string) { d.must(code, append(args, "--state-dir=.")...) }
	typed(0, "host", "list")
	typed(5, "host", "add", "root@10.0.0.1:2222", "--name=gpu-1", "--label=gpu=yes")
	d.says = []string{"no", "yes"}
	typed(5, "host", "add", "root@10.0.0.1:2222", "--name=gpu-1", "--label=gpu=yes")
	typed(0, "host", "add", "root@10.0.0.1:2222", "--name=gpu-1", "--label=gpu=yes")
	d.show("hosts.d/gpu-1.yaml")
	typed(0, "host", "add", "root@10.0.0.1:2222", "--name=gpu-1", "--label=gpu=yes", "--yes")
	typed(1, "host", "add", "ops@10.0.0.1", "--name=gpu-1", "--yes")
	typed(0, "host", "add", "ops@10.0.0.1", "--name=gpu-1", "--yes", "--force")
	typed(5, "host", "add", "db.example.org", "--fingerprint=SHA256:other")
	typed(0, "host", "add", "db.example.org", "--fingerprint=SHA256:db.example.org", "--sudo", "--proxy-jump=gpu-1", "-i", "~/.ssh/db")
	typed(1, "host", "add", "10.0.0.9", "--yes")
	typed(2, "host", "add", "2001:db8::5", "--yes")
	typed(2, "host", "add", "a b")
	typed(2, "host", "add", "db.example.org", "--name=DB", "--yes")
	typed(2, "host", "add")
	typed(0, "host", "list")
	typed(0, "host", "list", "-o", "name")
	typed(0, "host", "list", "-o", "yaml")
	typed(2, "host", "list", "-f", "hosts.yaml")
	typed(2, "host", "check")
	typed(4, "host", "check", "-A")
	typed(0, "host", "check", "gpu-1", "localhost")
}

// keyOf is a public key.
func keyOf(seed byte) string {
	blob := append([]byte("\x00\x00\x00\x0bssh-ed25519\x00\x00\x00\x20"), bytes.Repeat([]byte{seed}, 32)...)
	return "ssh-ed25519 " + base64.StdEncoding.EncodeToString(blob)
}

// show prints a file.
func (d *desk) show(file string) {
	d.t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		d.t.Fatal(err)
	}
	fmt.Fprintf(&d.script, "# %s:\n%s", file, b)
}

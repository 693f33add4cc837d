package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// worker is a daemon of which the program is built on the machine, from src/body.sh: it says what stands there.
type worker struct{ *machine }

// The compiler refuses what is broken, and is slow where it is asked to be.
const compiler = `if grep -q broken body.sh; then echo "body.sh:2: it is broken"; exit 1; fi; if grep -q slow body.sh; then setsid sleep 1000; fi; cat head.sh body.sh > bin/worker; chmod +x bin/worker`

func newWorker(t *testing.T) worker {
	w := worker{newMachine(t)}
	w.write("src/head.sh", "#!/bin/sh\n")
	w.write("manifests/worker.yaml", fmt.Sprintf(`apiVersion: reconciler.dev/v1
kind: DaemonSpec
metadata: {name: worker, labels: {tier: back}}
spec:
  build: {command: [sh, -c, %q], dir: ../src, inputs: ["*.sh"], output: bin/worker}
  stop: {gracePeriod: 5s}
`, compiler))
	return w
}

// save writes a version of the source.
func (w worker) save(text string) {
	w.t.Helper()
	w.write("src/body.sh", fmt.Sprintf("echo %s $$ >> %s\nexec sleep 1000\n", text, w.path("said")))
}

// said are the versions that ran, one after the other, and pid is the process of the last.
func (w worker) said() (versions []string, pid int) {
	for line := range strings.Lines(w.read(w.path("said"))) {
		if version, number, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			versions = append(versions, version)
			pid, _ = strconv.Atoi(number)
		}
	}
	return versions, pid
}

// runs waits until these versions ran, and the last of them does.
func (w worker) runs(versions ...string) {
	w.t.Helper()
	var now []string
	for deadline := time.Now().Add(patience); ; <-time.After(10 * time.Millisecond) {
		var pid int
		if now, pid = w.said(); strings.Join(now, " ") == strings.Join(versions, " ") && unix.Kill(pid, 0) == nil {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("these versions ran: %q; want %q, and the last of them alive", now, versions)
		}
	}
}

func TestProgramsAreBuilt(t *testing.T) {
	t.Parallel()
	w := newWorker(t)
	f := w.path("manifests")
	w.save("one")
	w.ok("plan", "-f", f).said("worker created")
	w.ok("apply", "-f", f).said("worker created", "building bin/worker: it was never built here", "built bin/worker in")
	w.runs("one")
	if again := w.ok("apply", "-f", f); strings.Contains(again.stderr.String(), "build") {
		t.Errorf("it was built again:\n%v", again)
	}
	w.ok("diff", "-f", f)

	w.save("two")
	w.exits(1, "diff", "-f", f).said("rebuild: body.sh changed")
	w.exits(1, "diff", "-f", f).said("rebuild: body.sh changed") // and the first one didn't build
	w.ok("plan", "-f", f).said("rebuild: body.sh changed")
	w.exits(5, "plan", "-f", f, "-o", w.path("saved.plan")).said("body.sh changed", "reconciler build")
	w.runs("one")
	w.ok("build", "worker").said("worker built")
	w.runs("one")
	w.ok("apply", "-f", f).said("worker configured")
	w.runs("one", "two")

	w.save("broken")
	for _, args := range [][]string{{"apply", "-f", f}, {"build", "worker"}, {"rebuild", "-l", "tier=back"}} {
		if c := w.run(args...); c.code() == 0 {
			t.Errorf("a broken source is built:\n%v", c)
		} else {
			c.said("body.sh:2: it is broken", "exited with status 1")
		}
		w.runs("one", "two")
	}
	w.save("three")
	w.ok("rebuild", "-l", "tier=back").said("worker configured")
	w.runs("one", "two", "three")
	w.ok("rebuild", "worker").said("worker unchanged")
	w.ok("rebuild", "worker", "--force").said("building bin/worker: by force", "worker unchanged") // for it comes to the same
	w.ok("build", "-f", f, "-o", "json").said(`"action": "unchanged"`)
	w.exits(2, "rebuild", "nobody").said("give -f FILE")
	w.runs("one", "two", "three")
}

func TestRunBuildsWhatIsSaved(t *testing.T) {
	t.Parallel()
	w := newWorker(t)
	w.save("one")
	run := w.keep("-f", w.path("manifests"))
	w.runs("one")
	w.save("two")
	w.runs("one", "two")

	w.save("broken")
	run.says("body.sh:2: it is broken")
	w.save("broken-too")
	w.save("three")
	w.runs("one", "two", "three")
	run.says("all are made again")

	builds := func() int { return strings.Count(run.stdout.String(), "building bin/worker") }
	before := builds()
	w.save("slow") // which would take for ever
	w.eventually("the slow one is being built", func() bool { return builds() > before })
	within(t, 10*time.Second, "a save that ends a slower build", func() {
		w.save("four")
		w.runs("one", "two", "three", "four")
	})
	run.interrupt()
	w.runs("one", "two", "three", "four")

	w.save("broken") // and so it is when the next run begins
	run = w.keep("-f", w.path("manifests"))
	run.says("daemon worker stays as it is")
	w.save("five")
	w.runs("one", "two", "three", "four", "five")
	run.interrupt()
}

package e2e

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"reconciler.dev/reconciler/internal/freeport"
	"reconciler.dev/reconciler/test/labhost"
)

// screen is how many lines a terminal has for the answer to why an update failed.
const screen = 24

// updated is a daemon whose changes have to prove themselves, with program 1 at its place, and serving.
func updated(m *machine) (w *testimony, before int) {
	m.t.Helper()
	w = m.witness("web").listening().installed(1).configured("port 80")
	w.spec += "  update: {readyTimeout: 10s, readyFor: 1s}\n"
	w.applied()
	return w, w.pid()
}

// stillServes checks that what served before a failed update serves after it: the same program with the same arguments, and, where it was never to be stopped, the same process.
func (w *testimony) stillServes(before int, untouched bool) {
	w.m.t.Helper()
	now := w.pid()
	if untouched && now != before {
		w.m.t.Errorf("process %d was replaced by %d", before, now)
	}
	if body, err := fetch(http.MethodGet, "http://"+w.addr+"/healthz"); err != nil || strings.TrimSpace(body) != fmt.Sprint(now) {
		w.m.t.Errorf("it doesn't serve: %q, %v", body, err)
	}
	w.runsProgram(1)
	if text := w.testified("config"); text != "" && text != "port 80" {
		w.m.t.Errorf("it goes by the config %q", text)
	}
	if got := w.m.get(w.name); got.Status.Phase != "Running" {
		w.m.t.Errorf("get says %s", got.Status.Phase)
	}
}

// fails applies what is declared now, which must fail and say why in one screen.
func (w *testimony) fails(words ...string) {
	w.m.t.Helper()
	c := w.m.exits(1, "apply", "-f", w.declare())
	c.said(words...)
	if text := c.stdout.String() + c.stderr.String(); strings.Count(text, "\n") > screen {
		w.m.t.Errorf("it takes more than a screen to say so:\n%s", text)
	}
}

// TestAFailedUpdateLeavesTheOldOneServing goes through what can be wrong with a change.
func TestAFailedUpdateLeavesTheOldOneServing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		// spoil is what goes wrong; untouched says that the process that serves must not even be stopped for it.
		spoil     func(w *testimony)
		untouched bool
		says      []string
	}{
		{"one that crashes at once, with another program and other files", func(w *testimony) {
			w.installed(2).configured("port 81")
			w.args = append(w.args, "-exit=3")
		}, false,
			[]string{"daemon/web rolled back", "it doesn't stay up: it exited with status 3", "| exiting with 3, as told", "generation 1 was put back"}},
		{"one that starts and is never healthy", func(w *testimony) { w.args = append(w.args, "-sicken=1ns") }, false,
			[]string{"daemon/web rolled back", "not Ready within 10s", "HTTP 503", "generation 1 was put back"}},
		{"one that becomes unhealthy after a while", func(w *testimony) {
			w.args = append(w.args, "-sicken=5s")
			w.spec = strings.Replace(w.spec, "readyFor: 1s", "readyFor: 20s", 1)
		}, false, []string{"daemon/web rolled back", "it was Ready for ", "HTTP 503", "generation 1 was put back"}},
		{"a program of another architecture", func(w *testimony) { w.rewrite(foreign) }, true,
			[]string{"it was built for s390x, and this host is ", "generation 1 runs on, and is Ready"}},
		{"a program that is cut off", func(w *testimony) { w.rewrite(func(b []byte) []byte { return b[:len(b)/2] }) }, true, []string{"web"}},
		{"a program that isn't one", func(w *testimony) { w.rewrite(func([]byte) []byte { return []byte("#!/no/such/interpreter\n") }) }, true,
			[]string{"/no/such/interpreter"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w, before := updated(newMachine(t))
			good := *w
			tt.spoil(w)
			w.fails(tt.says...)
			w.stillServes(before, tt.untouched)
			if tt.untouched {
				return
			}
			// The next good one is applied as ever.
			good.installed(1)
			good.args = append(good.args[:len(good.args):len(good.args)], "-stubborn=false")
			w.m.ok("apply", "-f", good.declare()).printed("daemon/web configured")
		})
	}
}

// rewrite changes the program that is to be installed.
func (w *testimony) rewrite(change func([]byte) []byte) {
	w.m.t.Helper()
	program, err := os.ReadFile(w.from)
	if err == nil {
		err = os.WriteFile(w.from, change(program), 0o755)
	}
	if err != nil {
		w.m.t.Fatal(err)
	}
}

// foreign makes a program one for IBM's mainframes.
func foreign(program []byte) []byte {
	own := bytes.Clone(program)
	const machineAt = 18 // elf(5): e_machine
	binary.LittleEndian.PutUint16(own[machineAt:], uint16(elf.EM_S390))
	return own
}

// TestAFailedBuildLeavesTheOldOneServing has a compiler that fails.
func TestAFailedBuildLeavesTheOldOneServing(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	w := m.witness("web").listening().installed(1)
	source := w.from
	declare := func(from string) string {
		build := fmt.Sprintf("build: {command: [cp, %s, web.out], inputs: [web.version], output: web.out}\n  install: {to: %s}", from, w.to)
		return m.write("manifests/web.yaml", strings.Replace(w.manifest(), fmt.Sprintf("install: {from: %s, to: %s}", w.from, w.to), build, 1))
	}
	m.write("manifests/web.version", "1")
	m.ok("apply", "-f", declare(source))
	before := w.pid()
	m.write("manifests/web.version", "2")
	c := m.run("apply", "-f", declare(source+".missing"))
	if c.code() == 0 {
		t.Errorf("it succeeded: %v", c)
	}
	c.said("cp", ".missing")
	if text := c.stdout.String() + c.stderr.String(); strings.Count(text, "\n") > screen {
		t.Errorf("it takes more than a screen to say so:\n%s", text)
	}
	w.stillServes(before, true)
}

// TestAFullDiskLeavesTheOldOneServing has no room for the next program.
func TestAFullDiskLeavesTheOldOneServing(t *testing.T) {
	t.Parallel()
	onHost(t, labhost.Bare, func(t *testing.T) {
		if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=256m,mode=755", "tmpfs", bin).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out) // it goes with the host
		}
		w, before := updated(newMachine(t))
		w.installed(2)
		w.declare()
		full := filepath.Join(bin, "full")
		if out, err := exec.Command("dd", "if=/dev/zero", "of="+full, "bs=64k").CombinedOutput(); err == nil || !strings.Contains(string(out), "No space left") {
			t.Fatalf("the disk isn't full: %v: %s", err, out)
		}
		c := w.m.run("apply", "-f", w.m.path("manifests/web.yaml"))
		if c.code() != 1 {
			t.Errorf("exit %d: %v", c.code(), c)
		}
		c.said("there is no room", "generation 1 runs on")
		if err := os.Remove(full); err != nil {
			t.Fatal(err)
		}
		w.stillServes(before, true)
		w.m.ok("apply", "-f", w.m.path("manifests/web.yaml")).printed("daemon/web configured")
		w.runsProgram(2)
	})
}

// twins declares a daemon whose copies have an address each, from base on, with those args beside.
func (m *machine) twins(base int, readyTimeout, args string) string {
	return m.write("manifests/web.yaml", fmt.Sprintf(`apiVersion: reconciler.dev/v1
kind: DaemonSpec
metadata: {name: web}
spec:
  binary: %s
  args: [-name=web-$(SLOT), '-dir=%s', '-addr=127.0.0.1:%d$(SLOT)'%s]
  health: {url: "http://127.0.0.1:%[3]d$(SLOT)/healthz", interval: 100ms, startPeriod: 5s, failureThreshold: 2}
  stop: {gracePeriod: 5s}
  update: {strategy: StartFirst, readyTimeout: %[5]s}
`, witness(m.t), m.dir, base, args, readyTimeout))
}

// TestStartFirstServesAllTheTime updates a daemon whose copies have an address each, while somebody asks both without a pause.
func TestStartFirstServesAllTheTime(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	base := freeport.Ten(t)
	manifest := func(args string) string { return m.twins(base, "10s", args) }
	m.ok("apply", "-f", manifest(""))
	asked := m.asking(fmt.Sprintf("http://127.0.0.1:%d0/healthz", base), fmt.Sprintf("http://127.0.0.1:%d1/healthz", base))
	for i := range 3 {
		m.ok("apply", "-f", manifest(fmt.Sprintf(", -children=%d", i%2+1))).printed("daemon/web configured")
	}
	m.ok("rollout", "restart", "web").printed("daemon/web restarted")
	pid := m.get("web").Status.PID
	m.exits(1, "apply", "-f", manifest(", -sicken=1ns")).said("daemon/web rolled back", "HTTP 503")
	if now := m.get("web").Status.PID; now != pid {
		t.Errorf("process %d, which served, was replaced by %d", pid, now)
	}
	m.ok("rollout", "history", "web").said("(failed: daemon web", "HTTP 503")
	m.ok("apply", "-f", manifest(", -children=3")).printed("daemon/web configured")
	m.ok("rollout", "history", "web").said("(failed: daemon web", "HTTP 503")
	if n := asked(); n < 50 {
		t.Errorf("it was only asked %d times", n)
	}
}

// TestBothCopiesAreSeen: while an update waits for a copy that isn't Ready, whoever looks sees that one and the one that goes on, and which is which.
func TestBothCopiesAreSeen(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	base := freeport.Ten(t)
	m.ok("apply", "-f", m.twins(base, "10m", ""))
	old := m.get("web").Status.PID
	update := m.background("apply", "-f", m.twins(base, "10m", ", -sicken=1ns"))
	m.eventually("there are two copies", func() bool { return strings.Contains(m.run("describe", "web").stdout.String(), "Copies:") })
	goes := fmt.Sprintf("2 copies: process %d of generation 1 goes when the new one is Ready", old)
	if words := strings.Join(strings.Fields(m.ok("describe", "web").stdout.String()), " "); !strings.Contains(words, fmt.Sprintf(" outgoing 0 %d 1 Running ", old)) || !strings.Contains(words, " new 1 ") {
		t.Errorf("describe says %s", words)
	}
	m.eventually("both listen", func() bool {
		wide := m.run("get", "-o", "wide").stdout.String()
		return strings.Contains(wide, fmt.Sprintf("127.0.0.1:%d1,127.0.0.1:%[1]d0", base)) && strings.Contains(wide, goes) && strings.Contains(wide, fmt.Sprintf(",%d ", old))
	})
	m.ok("get", "web", "-o", "json").said(`"outgoing": {`, fmt.Sprintf(`"pid": %d`, old))
	m.ok("logs", "web", "--tail=1").said("daemon web has " + goes)
	m.ok("top", "--once", "--interval=100ms").said("web   ", "web (outgoing)")
	update.interrupt()
	m.ok("apply", "-f", m.twins(base, "10m", ""))
	if text := m.ok("describe", "web").stdout.String(); strings.Contains(text, "Copies:") || m.get("web").Status.PID != old {
		t.Errorf("when the update was taken back:\n%s", text)
	}
	m.ok("events", "--for=web").said(", beside the one before: the manifest changed: spec.args")
}

// asking asks until it is called, and fails the test where no URL answers; it returns how often it asked.
func (m *machine) asking(urls ...string) func() int {
	stop, n := make(chan struct{}), 0
	var wg sync.WaitGroup
	wg.Go(func() {
		client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		for {
			select {
			case <-stop:
				return
			default:
			}
			answered := false
			for range 2 { // between two URLs the one that answers may change
				for _, u := range urls {
					if resp, err := client.Get(u); err == nil {
						resp.Body.Close()
						answered = answered || resp.StatusCode == http.StatusOK
					}
				}
			}
			if n++; !answered {
				m.t.Errorf("the %d. time nobody answered", n)
			}
		}
	})
	enough := sync.OnceValue(func() int {
		close(stop)
		wg.Wait()
		return n
	})
	m.t.Cleanup(func() { enough() })
	return enough
}

// TestARunPutsAFailedUpdateBack has a run find out that a change fails, and not try it again, not after a crash of its own either, until there is another one.
func TestARunPutsAFailedUpdateBack(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	w := m.witness("web").listening().installed(1).configured("port 80")
	w.spec += "  update: {readyTimeout: 10s}\n"
	w.declare()
	run := m.keep("-f", m.path("manifests"))
	before := w.becomes(0)
	m.ok("wait", "web", "--for=condition=Ready", "--timeout=20s")

	good := *w
	good.args = append(good.args[:len(good.args):len(good.args)], "-stubborn=false")
	w.args = append(w.args, "-sicken=1ns")
	w.installed(2).configured("port 81").declare()
	run.says("update failed: ")
	m.eventually("what ran before is back", func() bool {
		s := m.get("web").Status
		return s.Phase == "Running" && s.PID != before && w.testified("config") == "port 80"
	})
	w.stillServes(before, false)
	m.ok("rollout", "history", "web").said("failed: not Ready within 10s")
	starts := w.starts()

	run.kill()
	m.keep("-f", m.path("manifests"))
	w.becomes(w.kill())
	m.ok("wait", "web", "--for=condition=Ready", "--timeout=20s")
	w.stillServes(before, false)
	if n := w.starts(); n != starts+1 {
		t.Errorf("it was started %d times since it was put back, and once it crashed", n-starts)
	}
	m.exits(1, "rollout", "status", "web").said("UpdateFailed")

	good.installed(2).declare()
	m.eventually("the next change is made", func() bool {
		c := w.copies()
		return len(c) == 1 && strings.Contains(fmt.Sprint(c[0].args), "-stubborn=false")
	})
	m.ok("rollout", "status", "web", "--timeout=20s").said("rolled out")
	w.runsProgram(2)
}

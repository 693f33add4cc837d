package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// side runs commands at the same instant and returns them once all have ended.
func (m *machine) side(commands ...[]string) []*command {
	m.t.Helper()
	started := make([]*command, len(commands))
	for i, args := range commands {
		started[i] = m.start(args...)
	}
	for _, c := range started {
		c.wait()
	}
	return started
}

func TestTwoAppliesAtOnceStartOneCopy(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	for round := range 25 {
		w := m.witness(fmt.Sprintf("web%d", round))
		apply := []string{"apply", "-f", w.declare()}
		for _, c := range m.side(apply, apply, apply) {
			if c.code() != 0 {
				t.Errorf("exit %d, want 0:\n%v", c.code(), c)
			}
		}
		w.pid()
		m.ok("apply", "-f", w.declare()).printed("daemon/" + w.name + " unchanged")
		if n := w.starts(); n != 1 {
			t.Errorf("it was started %d times", n)
		}
	}
}

func TestTwoAppliesAtOnceOfAChange(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	w := m.witness("web").applied()
	for round := range 15 {
		w.args = []string{"-exit=-" + strconv.Itoa(round+1)}
		apply := []string{"apply", "-f", w.declare()}
		for _, c := range m.side(apply, apply) {
			if c.code() != 0 {
				t.Errorf("exit %d, want 0:\n%v", c.code(), c)
			}
		}
		if pid := w.pid(); !strings.Contains(strings.Join(w.copies()[0].args, " "), w.args[0]) {
			t.Errorf("process %d runs with %v", pid, w.copies()[0].args)
		}
		m.ok("apply", "-f", w.declare()).printed("daemon/web unchanged")
	}
}

func TestApplyDeleteRestartAndStopAtOnce(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	w := m.witness("web")
	file := w.declare()
	for range 10 {
		m.side([]string{"apply", "-f", file}, []string{"restart", "web"}, []string{"delete", "web"}, []string{"stop", "web"}, []string{"apply", "-f", file})
		if n := len(w.copies()); n > 1 {
			t.Fatalf("%d copies live: %v", n, w.copies())
		}
		m.side([]string{"start", "web"})
		m.ok("apply", "-f", file)
		w.pid()
	}
}

func TestApplyAgainstARun(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	w := m.witness("web")
	w.declare()
	run := m.keep("-f", m.path("manifests"))
	old := w.becomes(0)

	w.args = append(w.args, "-exit=-2")
	elsewhere := m.write("elsewhere/web.yaml", w.manifest())
	refused := m.exits(6, "apply", "-f", elsewhere)
	refused.said("reconciler run -f "+m.path("manifests"), "pid "+strconv.Itoa(run.cmd.Process.Pid))
	m.exits(6, "delete", "web").said("pid " + strconv.Itoa(run.cmd.Process.Pid))
	if now := w.pid(); now != old || w.starts() != 1 {
		t.Errorf("process %d became %d, though everything was refused", old, now)
	}

	m.ok("apply", "--force", "-f", elsewhere)
	taken := w.becomes(old)
	run.says("lets go of it")
	w.kill()
	m.eventually("get says that web failed", func() bool { return m.get("web").Status.Phase == "Failed" })
	if c := w.copies(); len(c) > 0 {
		t.Errorf("the run started again what was taken from it (process %d): %v", taken, c)
	}
}

func TestTwoRunsOfOneSet(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	w := m.witness("web")
	w.declare()
	first := m.keep("-f", m.path("manifests"))
	pid := w.becomes(0)
	m.exits(6, "run", "-f", m.path("manifests")).said("pid "+strconv.Itoa(first.cmd.Process.Pid), "default")
	if w.pid() != pid {
		t.Error("the second run touched the daemon of the first")
	}
	other := m.witness("other")
	other.m.write("other/other.yaml", other.manifest())
	second := m.keep("-f", m.path("other"), "--set=second")
	other.becomes(0)
	m.exits(6, "apply", "--set=third", "-f", m.path("other")).said("set second")
	second.interrupt()
	first.interrupt()
}

func TestANewRunAdoptsWithoutTouching(t *testing.T) {
	t.Parallel()
	for _, how := range []struct {
		name string
		end  func(*command)
	}{{"after kill -9", (*command).kill}, {"after an interrupt", (*command).interrupt}} {
		t.Run(how.name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			web, db := m.witness("web").listening(), m.witness("db")
			web.declare()
			db.declare()
			first := m.keep("-f", m.path("manifests"))
			pids := map[*testimony]int{web: web.becomes(0), db: db.becomes(0)}
			how.end(first)
			for w, pid := range pids {
				if now := w.pid(); now != pid {
					t.Errorf("%s: process %d became %d at the end of run", w.name, pid, now)
				}
			}
			second := m.keep("-f", m.path("manifests"))
			m.eventually("the second run says that both are Ready", func() bool {
				return m.get("web").is("Ready") == "True" && m.get("db").is("Ready") == "True" && m.get("db").Status.Holder != ""
			})
			for w, pid := range pids {
				if now := w.pid(); now != pid || w.starts() != 1 {
					t.Errorf("%s: process %d became %d, after %d starts", w.name, pid, now, w.starts())
				}
			}
			old := web.kill()
			web.becomes(old)
			second.interrupt()
		})
	}
}

// TestManyKillsOfRun kills a run again and again while it works, without a failpoint: whenever the kill happens, one copy of each daemon comes of it.
func TestManyKillsOfRun(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	var all []*testimony
	for i := range 4 {
		w := m.witness(fmt.Sprintf("web%d", i))
		w.declare()
		all = append(all, w)
	}
	for round := range 20 {
		run := m.start("run", "-f", m.path("manifests"))
		m.eventually("the run has begun or has ended", func() bool { return run.hasEnded() || run.stdout.String() != "" })
		for i, w := range all {
			if i%2 == round%2 {
				for _, p := range w.copies() {
					_ = m.mark.kill(p.pid) // it may have ended
				}
			}
		}
		// No event to wait for: any instant will do, and each round has another.
		time.Sleep(time.Duration(round) * 2 * time.Millisecond)
		run.kill()
		for _, w := range all {
			if c := w.copies(); len(c) > 1 {
				t.Fatalf("round %d: %d copies of %s: %v", round, len(c), w.name, c)
			}
		}
	}
	m.ok("apply", "-f", m.path("manifests"))
	var wg sync.WaitGroup
	for _, w := range all {
		wg.Go(func() { w.becomes(0) })
	}
	wg.Wait()
}

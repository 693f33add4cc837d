package e2e

import (
	"cmp"
	crand "crypto/rand"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"reconciler.dev/reconciler/internal/failpoint"
	"reconciler.dev/reconciler/test/labhost"
)

// newScene returns a machine for an operation. On a host with cgroups its daemons have a part of the tree for themselves.
func (op operation) newScene(t testing.TB) *scene {
	m := newMachine(t)
	m.bin, m.drivers = failpointed(t), op.drivers
	if op.drivers == "systemd" || op.from == "systemd" {
		m.amongOthers()
	}
	s := &scene{machine: m, web: m.witness("web").configured("one"), old: m.witness("old")}
	switch {
	case m.set != "":
		for _, w := range []*testimony{s.web, s.old} {
			w.spec += fmt.Sprintf("  rlimits: {rss: \"%d:infinity\"}\n", m.mark) // the service manager starts it, and no process with the mark
		}
	case op.drivers != "process" || op.from != "":
		for _, w := range []*testimony{s.web, s.old} {
			w.spec += fmt.Sprintf("  cgroup: {slice: %s.slice, pidsLimit: 100}\n", strings.ToLower(crand.Text()))
		}
	}
	return s
}

// cutOff runs the operation's command with env set, to its end.
func (op operation) cutOff(s *scene, env ...string) *command {
	s.t.Helper()
	c := s.with(env...).start(op.command(s)...)
	if op.during != nil {
		s.eventually("it works, or it died", func() bool { return c.hasEnded() || c.stdout.String() != "" })
		op.during(s, c)
		_ = c.cmd.Process.Signal(os.Interrupt) // it may have died
	}
	c.wait()
	return c
}

// TestCrash kills reconciler at every point that every operation passes, and checks that there is never a second copy of a daemon and never a process
// that reconciler doesn't know, and that doing the same once more ends where it would have ended without the crash.
func TestCrash(t *testing.T) {
	t.Parallel()
	ops := slices.Concat(operations(), []operation{adoption(), holderOperation()}, socketOperations(), slotOperations())
	ops = sparingFiles(ops, "first apply", "update that restarts", "update that reloads", "delete", "first apply of what is installed")
	crashAll(t, ops, "process", 5, func(p string) bool {
		return !strings.HasPrefix(p, "leaf.") && !strings.HasPrefix(p, "unit.") && p != string(failpoint.AdoptMoved) && p != string(failpoint.ListenWritten)
	})
}

// sparingFiles leaves out the points of how each single file is written, which are many, and the same in all operations, in all but some.
func sparingFiles(ops []operation, but ...string) []operation {
	for i := range ops {
		if !slices.Contains(but, ops[i].name) {
			ops[i].spares = []failpoint.Point{failpoint.FileTemp, failpoint.FileRename, failpoint.FileRenamed}
		}
	}
	return ops
}

// TestCrashWithCgroups is TestCrash for daemons in cgroups, and for those that are moved there and back: on a host, whose cgroups go with it. How files are written it leaves to TestCrash.
func TestCrashWithCgroups(t *testing.T) {
	onHost(t, labhost.Cgroup, func(t *testing.T) {
		ops := slices.DeleteFunc(slices.Concat(operations(), socketOperations(), slotOperations()), func(op operation) bool {
			return !slices.Contains([]string{
				"first apply", "update that restarts", "stop by every stage", "delete", "a run that sees its daemon die", "update of what it listens on", "stop of what listens", "update that starts first",
			}, op.name)
		})
		ops = sparingFiles(slices.Concat(ops, []operation{adoption(), holderOperation()}, moves("process", "cgroup")))
		crashAll(t, ops, "cgroup", 2, func(p string) bool {
			room, _, _ := strings.Cut(p, ".")
			return slices.Contains([]string{"leaf", "adopt", "listen", "slot"}, room) && p != string(failpoint.ListenWritten)
		})
	})
}

// TestCrashWithSystemd is TestCrash for units, all in one system manager, and for daemons that are moved there and back. How files are written it leaves to TestCrash; notes of what others do
// in the same service manager are written, too.
func TestCrashWithSystemd(t *testing.T) {
	onHost(t, labhost.Systemd, func(t *testing.T) {
		ops := []operation{{
			name:    "update of a limit",
			before:  func(s *scene) { s.web.applied(); s.web.spec += "  cgroup: {pidsLimit: 100}\n"; s.web.declare() },
			command: func(s *scene) []string { return s.apply() },
			after: func(s *scene) {
				s.live(s.web, "one")
				if n := s.web.starts(); n != 1 {
					s.t.Errorf("web was started %d times, and a limit needs no start", n)
				}
			},
		}}
		for _, op := range operations() {
			// The log is the journal's; the stages of a stop, and who has died, are PID 1's to look after.
			if !slices.Contains([]string{"stop by every stage", "a run that rotates a log", "a run that finds its daemon dead", "a run that sees its daemon die"}, op.name) {
				ops = append(ops, op)
			}
		}
		ops = sparingFiles(slices.Concat(ops, []operation{adoption()}, moves("process", "systemd"), socketOperations(), slotOperations()))
		passed := []failpoint.Point{
			failpoint.StartIntended, failpoint.UnitWritten, failpoint.StartForked, failpoint.StartRecorded, failpoint.StopIntended, failpoint.StopGone, failpoint.StopRecorded,
			failpoint.PauseIntended, failpoint.PauseForgotten, failpoint.RemoveRecord, failpoint.UnitDisabled, failpoint.RecordRemoved, failpoint.AdoptBegun, failpoint.AdoptTaken,
			failpoint.ListenWritten, failpoint.ListenOpened, failpoint.ListenClosed, failpoint.SlotBeside, failpoint.SlotJudged, failpoint.SlotEnded,
		}
		crashAll(t, ops, "systemd", 1, func(p string) bool { return slices.Contains(passed, failpoint.Point(p)) })
	})
}

// crashAll cuts off each of ops at each point that it passes, and at a number of pairs of them. Those that must name have to be passed by some.
func crashAll(t *testing.T, ops []operation, drivers string, pairs int, must func(point string) bool) {
	var mu sync.Mutex
	passed, whole := map[string]bool{}, 0
	var hit, missed atomic.Int64
	t.Run("operations", func(t *testing.T) {
		for _, op := range ops {
			op.drivers = cmp.Or(op.drivers, drivers)
			t.Run(op.name, func(t *testing.T) {
				t.Parallel()
				points := op.points(t)
				mu.Lock()
				whole++
				for _, p := range points {
					name, _, _ := strings.Cut(p, ":")
					passed[name] = true
				}
				mu.Unlock()
				for _, p := range points {
					t.Run(p, func(t *testing.T) {
						t.Parallel()
						if op.crash(op.newScene(t), p) > 0 {
							hit.Add(1)
						} else {
							missed.Add(1)
						}
					})
				}
				for range pairs {
					p := []string{points[rand.IntN(len(points))], points[rand.IntN(len(points))]}
					t.Run(strings.Join(p, " then "), func(t *testing.T) {
						t.Parallel()
						op.crash(op.newScene(t), p...)
					})
				}
			})
		}
	})
	t.Logf("%d crashes", hit.Load())
	if missed.Load() > hit.Load()/20 {
		t.Errorf("%d of %d points were passed when everything was observed and not when a crash was ordered there: too many for chance", missed.Load(), hit.Load()+missed.Load())
	}
	if whole < len(ops) {
		return // only some were asked for by -run, or they failed
	}
	for _, p := range failpoint.Names() {
		if !passed[string(p)] && must(string(p)) {
			t.Errorf("no operation passes %s: nothing shows what a crash there does", p)
		}
	}
}

// points runs the operation whole, and returns the points that it passed, as NAME:N for the Nth time.
func (op operation) points(t *testing.T) []string {
	s := op.newScene(t)
	op.before(s)
	file := s.path("trace")
	c := op.cutOff(s, failpoint.TraceEnv+"="+file)
	if c.code() != op.code {
		t.Fatalf("exit %d, want %d:\n%v", c.code(), op.code, c)
	}
	op.after(s)
	count := map[string]int{}
	var points []string
	for line := range strings.Lines(s.read(file)) {
		name := strings.TrimSuffix(line, "\n")
		count[name]++
		if !slices.Contains(op.spares, failpoint.Point(name)) {
			points = append(points, fmt.Sprintf("%s:%d", name, count[name]))
		}
	}
	if len(points) == 0 {
		t.Error("it passes no point at all")
	}
	return points
}

// crash cuts the operation off at each of points, one after the other, and then does it whole. It says how many were passed: how often some are depends on
// how fast a daemon is, and on what the crash before left to do.
func (op operation) crash(s *scene, points ...string) (hit int) {
	op.before(s)
	for _, point := range points {
		c := op.cutOff(s, failpoint.Env+"="+point)
		switch {
		case c.killed():
			hit++
		case c.code() != op.code:
			s.t.Fatalf("exit %d, want to be killed at %s or %d:\n%v", c.code(), point, op.code, c)
		}
		s.afterCrash()
	}
	if c := op.cutOff(s); c.code() != op.code {
		s.t.Fatalf("done again: exit %d, want %d:\n%v", c.code(), op.code, c)
	}
	op.after(s)
	return hit
}

// afterCrash checks what a crash left: no daemon twice, and no process that get doesn't tell of.
func (s *scene) afterCrash() {
	s.t.Helper()
	s.eventually("what was just being started is what it is to become", func() bool {
		return !slices.ContainsFunc(s.mark.alive(s.t), func(p proc) bool {
			isRun := slices.ContainsFunc(s.ends, func(c *command) bool { return c.cmd.Process.Pid == p.pid })
			return p.exe == s.bin && !isRun
		})
	})
	for _, w := range []*testimony{s.web, s.old} {
		s.settles(func() string { return s.unknown(w) })
	}
}

// unknown says how what lives of a daemon differs from what get tells of it; empty where it doesn't. A daemon that lives twice fails the test at once.
func (s *scene) unknown(w *testimony) string {
	s.t.Helper()
	d := s.get(w.name)
	copies := w.copies()
	mains := slices.DeleteFunc(slices.Clone(copies), func(p proc) bool {
		forked := slices.ContainsFunc(copies, func(parent proc) bool { return parent.pid == p.ppid }) // a child to be, before its exec
		return slices.Contains(p.args, "-child") || forked && !slices.Contains(w.args, "-background")
	})
	running := d.Status.Phase == "Running"
	if s.byHand != 0 && w == s.web {
		if len(mains) != 1 || mains[0].pid != s.byHand {
			s.t.Fatalf("process %d was to be taken over, and these live: %v", s.byHand, mains)
		}
		running = running || d.Status.Phase == "Absent" // it isn't ours yet
		d.Status.PID = s.byHand
	}
	most := 1
	if w.slots {
		most = 2
	}
	switch {
	case len(mains) > most && !slices.Contains(w.args, "-background"):
		s.t.Fatalf("after the crash daemon %s has more than one copy: %v", w.name, mains)
	case running != (len(mains) > 0), running && !slices.ContainsFunc(mains, func(p proc) bool { return p.pid == d.Status.PID }):
		return fmt.Sprintf("daemon %s is %s with process %d, and these live: %v", w.name, d.Status.Phase, d.Status.PID, mains)
	}
	return ""
}

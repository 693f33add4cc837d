package e2e

import (
	"fmt"
	"slices"
	"strings"

	"reconciler.dev/reconciler/internal/failpoint"
)

// operation is one thing that a person asks for, to be cut off at every point it passes.
type operation struct {
	name string
	// before brings the machine to where the operation begins, and returns the daemons that are to live when it is over.
	before func(s *scene)
	// command is what is cut off, and then done again.
	command func(s *scene) []string
	// during is done while the command runs, for one that doesn't end by itself; it ends it, but where it died.
	during func(s *scene, c *command)
	// code is what the command exits with when it is done again.
	code int
	// drivers are what it may choose from when it is cut off; empty: what the machine has.
	drivers string
	// from is the driver that had the daemon before, where another one takes it over.
	from string
	// after checks what is there once it was done again.
	after func(s *scene)
	// spares are points at which it isn't cut off.
	spares []failpoint.Point
}

// scene is one machine on which an operation is cut off.
type scene struct {
	*machine
	web, old *testimony // old is there only for what removes it
	written  int        // lines that web wrote to its log
	byHand   int        // the process of web that somebody started, and that is to be taken over
	// goes and comes are addresses that web listens on before the operation, and after it.
	goes, comes string
	// meanwhile ends what looks at web all the while.
	meanwhile func()
}

// live checks that a daemon has one process, which get knows, that goes by the given config, and that there is nothing to do.
func (s *scene) live(w *testimony, config string) {
	s.t.Helper()
	w.pid()
	w.goesBy(config)
	s.settled(w.name)
}

// settled checks that another apply has nothing to do.
func (s *scene) settled(names ...string) {
	s.t.Helper()
	var want []string
	for _, n := range names {
		want = append(want, "daemon/"+n+" unchanged")
	}
	s.ok("apply", "-f", s.path("manifests")).printed(strings.Join(want, "\n"))
}

// gone checks that a daemon has neither process nor record.
func (s *scene) gone(w *testimony) {
	s.t.Helper()
	if c := w.copies(); len(c) > 0 {
		s.t.Errorf("daemon %s still lives: %v", w.name, c)
	}
	if phase := s.get(w.name).Status.Phase; phase != "Absent" {
		s.t.Errorf("daemon %s is %s, want Absent", w.name, phase)
	}
}

func (s *scene) apply(more ...string) []string {
	return append([]string{"apply", "-f", s.path("manifests")}, more...)
}

func operations() []operation {
	applied := func(s *scene) { s.web.applied() }
	return []operation{{
		name:    "first apply",
		before:  func(s *scene) { s.web.declare() },
		command: func(s *scene) []string { return s.apply() },
		after:   func(s *scene) { s.live(s.web, "one") },
	}, {
		name: "first apply of what goes into the background",
		before: func(s *scene) {
			s.web.args = append(s.web.args, "-background")
			s.web.spec += "  type: forking\n"
			s.web.declare()
		},
		command: func(s *scene) []string { return s.apply() },
		after: func(s *scene) {
			s.eventually("the first process of web has ended, and get tells of the other", func() bool {
				c := s.web.copies()
				return len(c) == 1 && s.web.started(c[0].pid) && s.get(s.web.name).Status.PID == c[0].pid
			})
			s.live(s.web, "one")
		},
	}, {
		name:    "update that restarts",
		before:  func(s *scene) { s.web.applied(); s.web.args = append(s.web.args, "-stubborn=false"); s.web.declare() },
		command: func(s *scene) []string { return s.apply() },
		after: func(s *scene) {
			s.live(s.web, "one")
			if args := s.get(s.web.name).Spec.Args; !slices.Contains(args, "-stubborn=false") || !slices.Contains(s.web.copies()[0].args, "-stubborn=false") {
				s.t.Errorf("web doesn't run with its new arguments")
			}
		},
	}, {
		name:    "first apply of what is installed",
		before:  func(s *scene) { s.web.installed(1).declare() },
		command: func(s *scene) []string { return s.apply() },
		after:   func(s *scene) { s.live(s.web, "one"); s.web.runsProgram(1) },
	}, {
		name:    "update of what is installed",
		before:  func(s *scene) { s.web.installed(1).applied(); s.web.installed(2).declare() },
		command: func(s *scene) []string { return s.apply() },
		after:   func(s *scene) { s.live(s.web, "one"); s.web.runsProgram(2) },
	}, {
		name:    "update that reloads",
		before:  func(s *scene) { s.web.applied().configured("two").declare() },
		command: func(s *scene) []string { return s.apply() },
		after: func(s *scene) {
			s.live(s.web, "two")
			if n := s.web.starts(); n != 1 {
				s.t.Errorf("web was started %d times, and a reload needs no start", n)
			}
		},
	}, {
		name:    "stop",
		before:  applied,
		command: func(s *scene) []string { return []string{"stop", s.web.name} },
		after: func(s *scene) {
			if c := s.web.copies(); len(c) > 0 {
				s.t.Errorf("it was stopped and lives: %v", c)
			}
			s.ok("apply", "-f", s.path("manifests")).said("daemon/" + s.web.name + " paused")
		},
	}, {
		name: "stop by every stage",
		before: func(s *scene) {
			s.web.stubborn().applied()
			s.eventually("web is deaf to SIGTERM", func() bool { return s.web.starts() > 0 })
		},
		command: func(s *scene) []string { return []string{"stop", s.web.name} },
		after: func(s *scene) {
			if c := s.web.copies(); len(c) > 0 {
				s.t.Errorf("it was stopped and lives: %v", c)
			}
		},
	}, {
		name:    "start",
		before:  func(s *scene) { s.web.applied(); s.ok("stop", s.web.name) },
		command: func(s *scene) []string { return []string{"start", s.web.name} },
		after:   func(s *scene) { s.live(s.web, "one") },
	}, {
		name:    "restart",
		before:  applied,
		command: func(s *scene) []string { return []string{"restart", s.web.name} },
		after:   func(s *scene) { s.live(s.web, "one") },
	}, {
		name:    "delete",
		before:  applied,
		command: func(s *scene) []string { return []string{"delete", s.web.name, "--ignore-not-found"} },
		after:   func(s *scene) { s.gone(s.web) },
	}, {
		name: "prune",
		before: func(s *scene) {
			s.old.applied()
			s.web.applied()
			s.remove("manifests/" + s.old.name + ".yaml")
		},
		command: func(s *scene) []string { return s.apply("--prune") },
		after:   func(s *scene) { s.gone(s.old); s.live(s.web, "one") },
	}, {
		name:    "undo",
		before:  func(s *scene) { s.web.applied().configured("two").applied().configured("one").declare() },
		command: func(s *scene) []string { return []string{"rollout", "undo", s.web.name, "--to-revision=1"} },
		after:   func(s *scene) { s.live(s.web, "one") },
	}, {
		name: "roll back",
		before: func(s *scene) {
			s.web.applied()
			s.web.args = append(s.web.args, "-exit=9")
			s.web.declare()
		},
		command: func(s *scene) []string { return s.apply("--wait", "--timeout=20s") },
		code:    1,
		after: func(s *scene) {
			s.web.args = s.web.args[:len(s.web.args)-1]
			s.ok("apply", "-f", s.web.declare())
			s.live(s.web, "one")
		},
	}, {
		name:    "a run that finds its daemon dead",
		before:  func(s *scene) { s.web.applied().kill() },
		command: func(s *scene) []string { return []string{"run", "-f", s.path("manifests")} },
		during:  func(s *scene, c *command) { s.untilReady(c, 0) },
		after:   func(s *scene) { s.live(s.web, "one") },
	}, {
		name:    "a run that sees its daemon die",
		before:  applied,
		command: func(s *scene) []string { return []string{"run", "-f", s.path("manifests")} },
		during: func(s *scene, c *command) {
			if s.untilReady(c, 0); !c.hasEnded() {
				s.untilReady(c, s.web.kill())
			}
		},
		after: func(s *scene) { s.live(s.web, "one") },
	}, {
		name: "an apply that takes over from a run",
		before: func(s *scene) {
			s.web.declare()
			s.keep("-f", s.path("manifests"))
			s.web.becomes(0)
			s.web.args = append(s.web.args, "-stubborn=false")
			s.write("elsewhere/web.yaml", s.web.manifest())
		},
		command: func(s *scene) []string { return []string{"apply", "--force", "-f", s.path("elsewhere")} },
		after: func(s *scene) {
			s.web.pid()
			if !slices.Contains(s.web.copies()[0].args, "-stubborn=false") {
				s.t.Errorf("the run took web back: %v", s.web.copies())
			}
			s.ok("apply", "--force", "-f", s.path("elsewhere")).printed("daemon/" + s.web.name + " unchanged")
		},
	}, {
		name: "a run that rotates a log",
		before: func(s *scene) {
			s.web.listening()
			s.web.spec += "  log: {maxSize: 16K, maxFiles: 50}\n"
			s.ok("apply", "--wait", "-f", s.web.declare())
		},
		command: func(s *scene) []string { return []string{"run", "-f", s.path("manifests"), "--resync=1s"} },
		during: func(s *scene, c *command) {
			before := s.rotated(s.web.name)
			const lines = 3000 // more than a log of that size may hold
			s.web.post(fmt.Sprintf("/write?from=%d&lines=%d", s.written, lines))
			s.written += lines
			s.eventually("the log was rotated, or the run died", func() bool { return c.hasEnded() || s.rotated(s.web.name) > before })
			if c.hasEnded() {
				inOrder(s.t, "logs after a crash", s.ok("logs", s.web.name).stdout.String(), s.written)
			}
		},
		after: func(s *scene) {
			inOrder(s.t, "logs", s.ok("logs", s.web.name).stdout.String(), s.written)
			s.live(s.web, "one")
		},
	}}
}

// stubborn makes a daemon one that has to be killed, children and all.
func (w *testimony) stubborn() *testimony {
	w.listening()
	w.args = append(w.args, "-stubborn", "-children=2")
	w.spec += fmt.Sprintf("  stop: {url: \"http://%s/shutdown\", gracePeriod: 50ms}\n", w.addr)
	return w
}

// untilReady waits until a run told that web is Ready with another process than old, or died.
func (s *scene) untilReady(c *command, old int) {
	s.t.Helper()
	s.eventually("web is Ready in the eyes of the run, or the run died", func() bool {
		now := s.get(s.web.name)
		return c.hasEnded() || now.Status.Holder != "" && now.is("Ready") == "True" && now.Status.PID != old
	})
}

// moves are the operations by which one of two drivers takes a daemon over from the other.
func moves(one, two string) []operation {
	moved := func(from, to string) operation {
		return operation{
			name:    "move from " + from + " to " + to,
			from:    from,
			drivers: to,
			before: func(s *scene) {
				s.drivers = from
				s.web.applied()
				s.drivers = to
			},
			command: func(s *scene) []string { return s.apply() },
			after: func(s *scene) {
				s.live(s.web, "one")
				if d := s.get(s.web.name).Status.Driver; d != to {
					s.t.Errorf("web is run by %s, want %s", d, to)
				}
			},
		}
	}
	return []operation{moved(one, two), moved(two, one)}
}

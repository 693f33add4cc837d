package e2e

import (
	"fmt"
	"slices"
	"strings"

	"reconciler.dev/reconciler/internal/freeport"
)

// sideBySide has a daemon started beside itself where it is changed. Its copies have an address each, and one of the two answers at any time until meanwhile is called.
func (s *scene) sideBySide() {
	s.t.Helper()
	base := freeport.Ten(s.t)
	s.web.args = append(s.web.args, "-slot=$(SLOT)", fmt.Sprintf("-addr=127.0.0.1:%d$(SLOT)", base))
	s.web.spec += fmt.Sprintf("  health: {url: \"http://127.0.0.1:%d$(SLOT)/healthz\", interval: 100ms, timeout: 1s, failureThreshold: 2, startPeriod: 5s}\n", base)
	s.web.proven("30s").applied()
	asked := s.asking(fmt.Sprintf("http://127.0.0.1:%d0/healthz", base), fmt.Sprintf("http://127.0.0.1:%d1/healthz", base))
	s.meanwhile = func() { asked() }
}

// proven says how long its new instance may take to be Ready.
func (w *testimony) proven(within string) *testimony {
	w.slots = true
	w.spec = without(w.spec, "  update:") + fmt.Sprintf("  update: {strategy: StartFirst, readyTimeout: %s}\n", within)
	return w
}

// slotOperations are changes of a daemon whose new instance is started first. Whatever is cut off, one copy answers at every instant, and in the end there is one.
func slotOperations() []operation {
	runsWith := func(s *scene, arg string, want bool) {
		s.t.Helper()
		s.live(s.web, "one")
		if is := slices.Contains(s.web.copies()[0].args, arg); is != want {
			s.t.Errorf("it runs with %s: %v, want %v", arg, is, want)
		}
		s.meanwhile()
	}
	return []operation{{
		name:    "update that starts first",
		before:  func(s *scene) { s.sideBySide(); s.web.args = append(s.web.args, "-stubborn=false"); s.web.declare() },
		command: func(s *scene) []string { return s.apply() },
		after:   func(s *scene) { runsWith(s, "-stubborn=false", true) },
	}, {
		name:    "restart that starts first",
		before:  (*scene).sideBySide,
		command: func(s *scene) []string { return []string{"rollout", "restart", s.web.name} },
		after:   func(s *scene) { runsWith(s, "-stubborn=false", false) },
	}, {
		name: "update that starts first and fails",
		before: func(s *scene) {
			s.sideBySide()
			s.web.args = append(s.web.args, "-sicken=1ns")
			s.web.proven("2s").declare()
		},
		command: func(s *scene) []string { return s.apply() },
		code:    1,
		after: func(s *scene) {
			if d := s.get(s.web.name); slices.Contains(d.Spec.Args, "-sicken=1ns") {
				s.t.Errorf("what failed is applied still: %s", strings.Join(d.Spec.Args, " "))
			}
			s.web.args = s.web.args[:len(s.web.args)-1]
			s.ok("apply", "-f", s.web.proven("30s").declare())
			runsWith(s, "-sicken=1ns", false)
		},
	}}
}

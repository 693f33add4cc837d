package reconcile

import (
	"strings"
	"testing"

	"reconciler.dev/reconciler/pkg/spec"
)

// TestAnEndThatLooksLikeTheBackground: systemd ends with status 0 what goes into the background without saying so, and whoever reads that shall know what to do.
func TestAnEndThatLooksLikeTheBackground(t *testing.T) {
	for _, c := range []struct {
		name   string
		driver spec.DriverKind
		typ    spec.StartType
		exit   spec.Exit
		hint   bool
	}{
		{"status 0", spec.DriverSystemd, spec.TypeExec, spec.Exit{Known: true}, true},
		{"another status", spec.DriverSystemd, spec.TypeExec, spec.Exit{Known: true, Code: 1}, false},
		{"a signal", spec.DriverSystemd, spec.TypeExec, spec.Exit{Known: true, Signal: "SIGTERM"}, false},
		{"it was told", spec.DriverSystemd, spec.TypeForking, spec.Exit{Known: true}, false},
		{"another driver, which finds out", spec.DriverCgroup, spec.TypeExec, spec.Exit{Known: true}, false},
	} {
		o := spec.Observed{State: spec.Exited, Driver: c.driver, Stamp: &spec.Stamp{}, Instance: &spec.Instance{Exit: &c.exit}}
		o.Stamp.Spec.Type = c.typ
		if hint := inBackground(o); strings.Contains(hint, "type: forking") != c.hint || !c.hint && hint != "" {
			t.Errorf("%s: %q", c.name, hint)
		}
	}
}

// TestNoEndIsGoodOfWhatIsAlwaysToRun: with status 0 a daemon has done its work, unless it was to go on for ever.
func TestNoEndIsGoodOfWhatIsAlwaysToRun(t *testing.T) {
	for policy, reason := range map[spec.RestartPolicy]string{spec.RestartAlways: "NotRunning", spec.RestartOnFailure: "Completed", spec.RestartNever: "Completed"} {
		o := spec.Observed{State: spec.Exited, Stamp: &spec.Stamp{}, Instance: &spec.Instance{Exit: &spec.Exit{Known: true}}}
		o.Stamp.Spec.Restart.Policy = policy
		if c := readiness(o, Health{}); c.Reason != reason {
			t.Errorf("%s: %s, want %s", policy, c.Reason, reason)
		}
	}
}

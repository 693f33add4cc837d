package reconcile

import (
	"strings"
	"testing"
	"time"

	"reconciler.dev/reconciler/pkg/spec"
)

// TestATrialIsNotLostWhileSomebodyIsAtIt: a run that watches two copies sees the older one being stopped by the apply that replaced it.
func TestATrialIsNotLostWhileSomebodyIsAtIt(t *testing.T) {
	now := time.Now()
	for state, failed := range map[spec.State]bool{spec.Stopping: false, spec.Starting: false, spec.Exited: true} {
		tr := newTrial(spec.Update{ReadyTimeout: spec.Duration(time.Minute)}, 0, now)
		tr.since = now
		c := conclusion{observed: spec.Observed{State: state, Outgoing: &spec.Instance{}}, decision: Decision{Action: Waiting}}
		again, failure, proven := tr.judge(c, 0, now.Add(time.Second))
		if proven || failed != strings.Contains(failure, "it was Ready for 1s only") || !failed && again != busyLook {
			t.Errorf("%s: %q, proven %t, again in %s", state, failure, proven, again)
		}
	}
}

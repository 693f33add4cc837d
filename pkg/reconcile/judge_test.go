package reconcile

import (
	"errors"
	"fmt"
	"testing"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

func TestJudge(t *testing.T) {
	live := spec.Observed{State: spec.Running, Stamp: &spec.Stamp{Generation: 3}, Instance: &spec.Instance{ID: "i"}}
	ended := func(e spec.Exit, attempts int) spec.Observed {
		return spec.Observed{State: spec.Exited, Stamp: &spec.Stamp{Generation: 3}, Instance: &spec.Instance{ID: "i", Exit: &e, Attempts: attempts}}
	}
	paused := ended(spec.Exit{Asked: true}, 0)
	paused.Paused = &spec.Pause{}
	restarting := ended(spec.Exit{Known: true, Signal: "SIGSEGV"}, 4)
	restarting.Restarting = true
	well, sick := Health{Known: true, Ready: true}, Health{Known: true, LastError: "HTTP 503"}
	for _, c := range []struct {
		name                        string
		d                           Decision
		o                           spec.Observed
		h                           Health
		err                         error
		ready, reconciling, stalled string
	}{
		{"well", Decision{Action: Unchanged}, live, well, nil, "True Healthy", "False Settled", "False NotStalled"},
		{"sick", Decision{Action: Unchanged}, live, sick, nil, "False Unhealthy", "False Settled", "False NotStalled"},
		{"just started", Decision{Action: Created}, live, Health{}, nil, "False Starting", "True Progressing", "False NotStalled"},
		{"unknown", Decision{Action: Frozen}, spec.Observed{State: spec.Unknown}, Health{}, nil, "Unknown Unknown", "Unknown Unreachable", "False NotStalled"},
		{"absent", Decision{Action: Waiting}, spec.Observed{State: spec.Absent}, Health{}, nil, "False Absent", "True Waiting", "False NotStalled"},
		{"paused", Decision{Action: Paused}, paused, Health{}, nil, "False Paused", "False Settled", "False NotStalled"},
		{"done its work", Decision{Action: Unchanged}, ended(spec.Exit{Known: true}, 0), Health{}, nil, "False Completed", "False Settled", "False NotStalled"},
		{"failed for good", Decision{Action: Unchanged}, ended(spec.Exit{Known: true, Code: 2}, 0), Health{}, nil, "False NotRunning", "False Settled", "True Failed"},
		{"nobody saw how", Decision{Action: Unchanged}, ended(spec.Exit{}, 0), Health{}, nil, "False NotRunning", "False Settled", "True Failed"},
		{"backing off", Decision{Action: Waiting}, ended(spec.Exit{Known: true, Signal: "SIGSEGV"}, 4), Health{}, nil, "False CrashLoop", "True Waiting", "False NotStalled"},
		{"restarted by its platform", Decision{Action: Unchanged}, restarting, Health{}, nil, "False CrashLoop", "True Waiting", "False NotStalled"},
		{"conflict", Decision{Action: Refused, Err: drivers.ErrConflict}, live, well, nil, "True Healthy", "False Settled", "True Conflict"},
		{"step failed", Decision{}, live, well, errors.New("disk full"), "True Healthy", "True Retrying", "False NotStalled"},
		{"step is hopeless", Decision{}, paused, Health{}, fmt.Errorf("no such file: %w", drivers.ErrPermanent), "False Paused", "False Settled", "True StepRefused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cs := Judge(c.d, c.o, c.h, c.err)
			for ct, want := range map[spec.ConditionType]string{spec.Ready: c.ready, spec.Reconciling: c.reconciling, spec.Stalled: c.stalled} {
				got := find(cs, ct)
				if have := string(got.Status) + " " + got.Reason; have != want {
					t.Errorf("%s is %s, want %s", ct, have, want)
				}
				if c.o.Stamp != nil && got.ObservedGeneration != 3 {
					t.Errorf("%s speaks of generation %d", ct, got.ObservedGeneration)
				}
			}
		})
	}
}

// What somebody stopped behind our back is told apart from what ended by itself: the exit status of both may be 0.
func TestEndingByHand(t *testing.T) {
	o := spec.Observed{State: spec.Exited, Instance: &spec.Instance{Exit: &spec.Exit{Known: true}}}
	if got := Ending(o); got != "it exited with status 0" {
		t.Errorf("by itself: %q", got)
	}
	o.Drift = []spec.Drift{{Field: "unit.enabled", Have: "disabled"}, {Field: drivers.DriftStopped, Want: "active", Have: "stopped by hand"}}
	if got := Ending(o); got != "it was stopped by hand" {
		t.Errorf("by hand: %q", got)
	}
}

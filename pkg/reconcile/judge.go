package reconcile

import (
	"fmt"

	"reconciler.dev/reconciler/pkg/spec"
)

// RolloutHeld is the reason for which a daemon is Reconciling while a change of it waits for the end of a pause.
const RolloutHeld = "RolloutPaused"

// Judge says in conditions how a daemon is. It is pure. d is what Plan came to for it, h what its health checks came to, stepErr what the last step failed with.
func Judge(d Decision, o spec.Observed, h Health, stepErr error) []spec.Condition {
	var gen int64
	if o.Stamp != nil {
		gen = o.Stamp.Generation
	}
	ready := readiness(o, h)
	reconciling := spec.Condition{Type: spec.Reconciling, Status: spec.False, Reason: "Settled"}
	stalled := spec.Condition{Type: spec.Stalled, Status: spec.False, Reason: "NotStalled"}
	switch {
	case stepErr != nil && hopeless(stepErr):
		stalled = spec.Condition{Type: spec.Stalled, Status: spec.True, Reason: "StepRefused", Message: stepErr.Error()}
	case stepErr != nil:
		reconciling = spec.Condition{Type: spec.Reconciling, Status: spec.True, Reason: "Retrying", Message: stepErr.Error()}
	case d.Rejected != "":
		stalled = spec.Condition{Type: spec.Stalled, Status: spec.True, Reason: "UpdateFailed", Message: d.Rejected}
	case d.Action == Refused:
		stalled = spec.Condition{Type: spec.Stalled, Status: spec.True, Reason: "Conflict", Message: d.Reason}
	case d.Held != "" && o.Held == nil:
		reconciling = spec.Condition{Type: spec.Reconciling, Status: spec.True, Reason: "ProgramFailed", Message: d.Held}
	case d.Held != "":
		reconciling = spec.Condition{Type: spec.Reconciling, Status: spec.True, Reason: RolloutHeld, Message: d.Held}
	case d.Action == Frozen:
		reconciling = spec.Condition{Type: spec.Reconciling, Status: spec.ConditionUnknown, Reason: "Unreachable", Message: d.Reason}
	case d.Action == Waiting:
		reconciling = spec.Condition{Type: spec.Reconciling, Status: spec.True, Reason: "Waiting", Message: d.Reason}
	case o.Restarting && o.Paused == nil && d.Action == Unchanged:
		reconciling = spec.Condition{Type: spec.Reconciling, Status: spec.True, Reason: "Waiting", Message: Ending(o) + "; " + string(o.Driver) + " starts it again by itself"}
	case o.State == spec.Exited && d.Action == Unchanged && failed(o):
		stalled = spec.Condition{Type: spec.Stalled, Status: spec.True, Reason: "Failed", Message: d.Reason}
	case o.State == spec.Running && ready.Status != spec.True && !h.Known:
		reconciling = spec.Condition{Type: spec.Reconciling, Status: spec.True, Reason: "Progressing", Message: ready.Message}
	}
	cs := []spec.Condition{ready, reconciling, stalled}
	for i := range cs {
		cs[i].ObservedGeneration = gen
	}
	return cs
}

// readiness is the Ready condition.
func readiness(o spec.Observed, h Health) spec.Condition {
	c := spec.Condition{Type: spec.Ready, Status: spec.False}
	switch {
	case o.State == spec.Unknown:
		c.Status, c.Reason, c.Message = spec.ConditionUnknown, "Unknown", o.Message
	case o.State == spec.Absent:
		c.Reason, c.Message = "Absent", "there is nothing of that name"
	case o.Paused != nil:
		c.Reason, c.Message = "Paused", "a user stopped it; start starts it again"
	case o.State == spec.Exited && !failed(o):
		c.Reason, c.Message = "Completed", Ending(o)
	case o.State == spec.Exited && o.Instance != nil && o.Instance.Attempts > 0:
		c.Reason, c.Message = "CrashLoop", fmt.Sprintf("%s; %d restarts in a row didn't help", Ending(o), o.Instance.Attempts)
	case o.State == spec.Exited:
		c.Reason, c.Message = "NotRunning", Ending(o)
	case o.State != spec.Running:
		c.Reason, c.Message = string(o.State), "another reconciler is just changing it"
	case h.Ready:
		c.Status, c.Reason = spec.True, "Healthy"
	case !h.Known:
		c.Reason, c.Message = "Starting", h.LastError
	default:
		c.Reason, c.Message = "Unhealthy", h.LastError
	}
	return c
}

// failed says whether the last instance's end is one to worry about.
func failed(o spec.Observed) bool {
	in := o.Instance
	if in == nil || in.Exit == nil || in.Exit.Asked {
		return false
	}
	if o.Stamp != nil && o.Stamp.Spec.Restart.Policy == spec.RestartAlways {
		return true // whatever its status, it was to go on
	}
	return !in.Exit.Known || in.Exit.Code != 0 || in.Exit.Signal != ""
}

package drivers

import (
	"time"

	"reconciler.dev/reconciler/pkg/spec"
)

// NewStamp is the stamp that step, which has a Want, leaves behind. old is the stamp that is there now, or nil: a generation that is stamped again keeps
// the time when it was first applied.
func NewStamp(step spec.Step, old *spec.Stamp, now time.Time) *spec.Stamp {
	s := &spec.Stamp{
		Metadata: step.Want.Metadata, Spec: step.Want.Spec, Digest: step.Want.Digest,
		Owner: step.Owner, Tool: step.Tool, Generation: step.Generation, AppliedAt: now, Slot: step.Want.Slot,
	}
	if old != nil && old.Generation == s.Generation && old.Digest == s.Digest {
		s.AppliedAt = old.AppliedAt
	}
	return s
}

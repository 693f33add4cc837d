package reconcile

import (
	"maps"
	"slices"
	"strings"
	"time"

	"reconciler.dev/reconciler/pkg/spec"
)

// required are the conditions that every daemon has, whatever is known of it.
var required = [...]spec.ConditionType{spec.Ready, spec.Reconciling, spec.Stalled}

// Merge returns the conditions in fresh with the times of their last transitions: that of old where the status is the same, now where it
// isn't. Types that only old has are kept; of Ready, Reconciling and Stalled, one that neither has is Unknown. The result is sorted by type
// and shares nothing with the arguments. changed is false where it says nothing that old didn't say.
func Merge(old, fresh []spec.Condition, now time.Time) (merged []spec.Condition, changed bool) {
	byType := make(map[spec.ConditionType]spec.Condition, len(required))
	for _, t := range required {
		byType[t] = spec.Condition{Type: t, Status: spec.ConditionUnknown, Reason: "NotYetKnown", LastTransitionTime: now}
	}
	for _, c := range old {
		byType[c.Type] = c
	}
	for _, c := range fresh {
		c.LastTransitionTime = now
		if before, ok := byType[c.Type]; ok && before.Status == c.Status {
			c.LastTransitionTime = before.LastTransitionTime
		}
		byType[c.Type] = c
	}
	merged = slices.SortedFunc(maps.Values(byType), byName)
	return merged, !slices.Equal(old, merged)
}

func byName(a, b spec.Condition) int { return strings.Compare(string(a.Type), string(b.Type)) }

// Word is all that is known of a daemon in one word, as kstatus has them, and Paused.
type Word string

// The words.
const (
	WordCurrent     Word = "Current"     // it is as it shall be
	WordInProgress  Word = "InProgress"  // it is on the way there
	WordFailed      Word = "Failed"      // it won't get there by itself
	WordTerminating Word = "Terminating" // it is being ended
	WordNotFound    Word = "NotFound"    // there is nothing of that name
	WordUnknown     Word = "Unknown"     // it couldn't be found out
	WordPaused      Word = "Paused"      // a user stopped it
)

// Summary is the word for a daemon. Conditions that speak of an earlier generation than the one applied say nothing of it: it is in progress.
func Summary(o spec.Observed, cs []spec.Condition) Word {
	ready, reconciling, stalled := find(cs, spec.Ready), find(cs, spec.Reconciling), find(cs, spec.Stalled)
	switch {
	case o.State == spec.Unknown:
		return WordUnknown
	case o.State == spec.Stopping && o.Paused == nil && reconciling.Status == spec.True:
		return WordInProgress // it is stopped to be started again
	case o.State == spec.Stopping:
		return WordTerminating
	case stalled.Status == spec.True:
		return WordFailed
	case o.Paused != nil && o.State != spec.Running:
		return WordPaused
	case reconciling.Status == spec.True:
		return WordInProgress
	case o.State == spec.Absent:
		return WordNotFound
	case ready.Status == spec.ConditionUnknown:
		return WordUnknown
	case o.Stamp != nil && ready.ObservedGeneration < o.Stamp.Generation:
		return WordInProgress
	case ready.Status == spec.True, ready.Reason == "Completed":
		return WordCurrent
	default:
		return WordFailed
	}
}

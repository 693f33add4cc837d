package reconcile

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/pkg/spec"
)

var camelCase = regexp.MustCompile(`^[A-Z][A-Za-z0-9]*$`)

// lintConditions says what is wrong with conditions as they are kept and shown: all that a program which reads them may rely on.
func lintConditions(cs []spec.Condition) error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !slices.IsSortedFunc(cs, byName) {
		wrong("they aren't sorted by type")
	}
	count := map[spec.ConditionType]int{}
	for _, c := range cs {
		count[c.Type]++
		if !camelCase.MatchString(string(c.Type)) || !camelCase.MatchString(c.Reason) {
			wrong("%s: type and reason %q must be CamelCase", c.Type, c.Reason)
		}
		if !slices.Contains([]spec.ConditionStatus{spec.True, spec.False, spec.ConditionUnknown}, c.Status) {
			wrong("%s: status %q", c.Type, c.Status)
		}
		if c.LastTransitionTime.IsZero() {
			wrong("%s: no time of the last transition", c.Type)
		}
		if c.ObservedGeneration != cs[0].ObservedGeneration {
			wrong("%s speaks of generation %d, %s of %d", c.Type, c.ObservedGeneration, cs[0].Type, cs[0].ObservedGeneration)
		}
	}
	for _, t := range required {
		if count[t] != 1 {
			wrong("%s is there %d times", t, count[t])
		}
	}
	if find(cs, spec.Reconciling).Status == spec.True && find(cs, spec.Stalled).Status == spec.True {
		wrong("a daemon that is stalled isn't reconciling")
	}
	return errors.Join(errs...)
}

func TestLintConditions(t *testing.T) {
	cond := func(t spec.ConditionType, s spec.ConditionStatus) spec.Condition {
		return spec.Condition{Type: t, Status: s, Reason: "Settled", LastTransitionTime: started}
	}
	good := func() []spec.Condition {
		return []spec.Condition{cond(spec.Ready, spec.True), cond(spec.Reconciling, spec.False), cond(spec.Stalled, spec.False)}
	}
	if err := lintConditions(good()); err != nil {
		t.Errorf("good conditions: %v", err)
	}
	for name, spoil := range map[string]func(cs []spec.Condition) []spec.Condition{
		"missing":    func(cs []spec.Condition) []spec.Condition { return cs[:2] },
		"twice":      func(cs []spec.Condition) []spec.Condition { return append(cs, cs[2]) },
		"unsorted":   func(cs []spec.Condition) []spec.Condition { slices.Reverse(cs); return cs },
		"status":     func(cs []spec.Condition) []spec.Condition { cs[0].Status = "Yes"; return cs },
		"reason":     func(cs []spec.Condition) []spec.Condition { cs[0].Reason = "it is well"; return cs },
		"time":       func(cs []spec.Condition) []spec.Condition { cs[0].LastTransitionTime = time.Time{}; return cs },
		"generation": func(cs []spec.Condition) []spec.Condition { cs[1].ObservedGeneration = 7; return cs },
		"both at once": func(cs []spec.Condition) []spec.Condition {
			cs[1].Status, cs[2].Status = spec.True, spec.True
			return cs
		},
	} {
		if lintConditions(spoil(good())) == nil {
			t.Errorf("%s: nothing found wrong", name)
		}
	}
}

// said is a condition as the tests of Merge write it.
func said(t spec.ConditionType, s spec.ConditionStatus, reason string, gen int64, since time.Time) spec.Condition {
	return spec.Condition{Type: t, Status: s, Reason: reason, ObservedGeneration: gen, LastTransitionTime: since}
}

func TestMerge(t *testing.T) {
	never, then, now := time.Time{}, started, started.Add(time.Hour)
	ready := said(spec.Ready, spec.True, "Healthy", 1, then)
	settled := said(spec.Reconciling, spec.False, "Settled", 1, then)
	fine := said(spec.Stalled, spec.False, "NotStalled", 1, then)
	before := []spec.Condition{ready, settled, fine}
	for _, tt := range []struct {
		name    string
		old     []spec.Condition
		fresh   []spec.Condition
		want    []spec.Condition
		changed bool
	}{
		{
			name: "the same again",
			old:  before,
			fresh: []spec.Condition{
				said(spec.Stalled, spec.False, "NotStalled", 1, never), said(spec.Ready, spec.True, "Healthy", 1, never),
				said(spec.Reconciling, spec.False, "Settled", 1, never),
			},
			want: before,
		},
		{
			name:    "another status is a transition",
			old:     before,
			fresh:   []spec.Condition{said(spec.Ready, spec.False, "Unhealthy", 1, never), settled, fine},
			want:    []spec.Condition{said(spec.Ready, spec.False, "Unhealthy", 1, now), settled, fine},
			changed: true,
		},
		{
			name:    "another reason is none, but is told",
			old:     before,
			fresh:   []spec.Condition{said(spec.Ready, spec.True, "Up", 1, never), settled, fine},
			want:    []spec.Condition{said(spec.Ready, spec.True, "Up", 1, then), settled, fine},
			changed: true,
		},
		{
			name: "another generation is none, but is told",
			old:  before,
			fresh: []spec.Condition{
				said(spec.Ready, spec.True, "Healthy", 2, never), said(spec.Reconciling, spec.False, "Settled", 2, never),
				said(spec.Stalled, spec.False, "NotStalled", 2, never),
			},
			want: []spec.Condition{
				said(spec.Ready, spec.True, "Healthy", 2, then), said(spec.Reconciling, spec.False, "Settled", 2, then),
				said(spec.Stalled, spec.False, "NotStalled", 2, then),
			},
			changed: true,
		},
		{
			name: "what is first said begins now",
			fresh: []spec.Condition{
				said(spec.Ready, spec.False, "Starting", 1, never), said(spec.Reconciling, spec.True, "Progressing", 1, never),
				said(spec.Stalled, spec.False, "NotStalled", 1, never),
			},
			want: []spec.Condition{
				said(spec.Ready, spec.False, "Starting", 1, now), said(spec.Reconciling, spec.True, "Progressing", 1, now),
				said(spec.Stalled, spec.False, "NotStalled", 1, now),
			},
			changed: true,
		},
		{
			name: "the three are always there",
			want: []spec.Condition{
				said(spec.Ready, spec.ConditionUnknown, "NotYetKnown", 0, now), said(spec.Reconciling, spec.ConditionUnknown, "NotYetKnown", 0, now),
				said(spec.Stalled, spec.ConditionUnknown, "NotYetKnown", 0, now),
			},
			changed: true,
		},
		{
			name:    "what only old has stays",
			old:     append([]spec.Condition{said("Drifted", spec.True, "ByHand", 1, then)}, before...),
			fresh:   []spec.Condition{said(spec.Stalled, spec.True, "Conflict", 1, never)},
			want:    []spec.Condition{said("Drifted", spec.True, "ByHand", 1, then), ready, settled, said(spec.Stalled, spec.True, "Conflict", 1, now)},
			changed: true,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			old, fresh := slices.Clone(tt.old), slices.Clone(tt.fresh)
			got, changed := Merge(tt.old, tt.fresh, now)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Merge (-want +got):\n%s", diff)
			}
			if changed != tt.changed {
				t.Errorf("changed = %v, want %v", changed, tt.changed)
			}
			if err := lintConditions(got); err != nil {
				t.Error(err)
			}
			if !slices.Equal(old, tt.old) || !slices.Equal(fresh, tt.fresh) {
				t.Error("the arguments were changed")
			}
			if again, changed := Merge(got, tt.fresh, now.Add(time.Hour)); changed {
				t.Errorf("merged a second time, it changed to %v", again)
			}
		})
	}
}

func TestSummary(t *testing.T) {
	type conds struct{ ready, reconciling, stalled spec.ConditionStatus }
	settled := conds{spec.True, spec.False, spec.False}
	for _, tt := range []struct {
		name   string
		state  spec.State
		paused bool
		c      conds
		reason string // of Ready
		gen    int64  // that the conditions speak of; 2 is applied
		want   Word
	}{
		{"as it shall be", spec.Running, false, settled, "Healthy", 2, WordCurrent},
		{"the conditions are of an earlier generation", spec.Running, false, settled, "Healthy", 1, WordInProgress},
		{"on its way", spec.Running, false, conds{spec.False, spec.True, spec.False}, "Starting", 2, WordInProgress},
		{"waiting to be restarted", spec.Exited, false, conds{spec.False, spec.True, spec.False}, "CrashLoop", 2, WordInProgress},
		{"ready, but a change can't be made", spec.Running, false, conds{spec.True, spec.False, spec.True}, "Healthy", 2, WordFailed},
		{"unwell, and left at that", spec.Running, false, conds{spec.False, spec.False, spec.False}, "Unhealthy", 2, WordFailed},
		{"ended, and left at that", spec.Exited, false, conds{spec.False, spec.False, spec.True}, "NotRunning", 2, WordFailed},
		{"has done its work", spec.Exited, false, conds{spec.False, spec.False, spec.False}, "Completed", 2, WordCurrent},
		{"never looked at", spec.Running, false, conds{}, "", 2, WordUnknown},
		{"not there", spec.Absent, false, conds{spec.False, spec.False, spec.False}, "Absent", 2, WordNotFound},
		{"not there yet", spec.Absent, false, conds{spec.False, spec.True, spec.False}, "Absent", 2, WordInProgress},
		{"can't be made", spec.Absent, false, conds{spec.False, spec.False, spec.True}, "Absent", 2, WordFailed},
		{"unreachable, whatever was known of it", spec.Unknown, false, settled, "Healthy", 2, WordUnknown},
		{"being ended", spec.Stopping, false, conds{spec.False, spec.False, spec.False}, "Stopping", 2, WordTerminating},
		{"stopped to be started again", spec.Stopping, false, conds{spec.False, spec.True, spec.False}, "Stopping", 2, WordInProgress},
		{"being stopped by a user", spec.Stopping, true, conds{spec.False, spec.True, spec.False}, "Stopping", 2, WordTerminating},
		{"stopped by a user", spec.Exited, true, conds{spec.False, spec.False, spec.False}, "Paused", 2, WordPaused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := spec.Observed{State: tt.state, Stamp: &spec.Stamp{Generation: 2}}
			if tt.state == spec.Absent {
				o.Stamp = nil
			}
			if tt.paused {
				o.Paused = &spec.Pause{}
			}
			var cs []spec.Condition
			if tt.c != (conds{}) {
				cs = []spec.Condition{
					said(spec.Ready, tt.c.ready, tt.reason, tt.gen, started), said(spec.Reconciling, tt.c.reconciling, "Any", tt.gen, started),
					said(spec.Stalled, tt.c.stalled, "Any", tt.gen, started),
				}
			}
			if got := Summary(o, cs); got != tt.want {
				t.Errorf("Summary = %s, want %s", got, tt.want)
			}
		})
	}
}

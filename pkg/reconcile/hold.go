package reconcile

import (
	"context"
	"time"

	"reconciler.dev/reconciler/pkg/spec"
)

// Hold has no change of daemons rolled out, by anybody, before Release: they are kept as they were applied last.
func (e *Engine) Hold(ctx context.Context, names []string, by string) ([]Item, error) {
	return e.each(ctx, names, func(o spec.Observed) Item {
		it := Item{Name: o.Name, Observed: o, Action: RolloutPaused}
		if o.Held != nil {
			it.Action = Unchanged
			return it
		}
		it.Steps = []spec.Step{{Verb: spec.VerbHold, Name: o.Name, Reason: "a user paused its rollout", Driver: o.Driver, By: by, Instance: instanceID(o)}}
		return it
	})
}

// Release lets changes of daemons be rolled out again. A run does that at once; else the next apply.
func (e *Engine) Release(ctx context.Context, names []string) ([]Item, error) {
	return e.each(ctx, names, func(o spec.Observed) Item {
		it := Item{Name: o.Name, Observed: o, Action: RolloutResumed}
		if o.Held == nil {
			it.Action = Unchanged
			return it
		}
		it.Steps = []spec.Step{{Verb: spec.VerbRelease, Name: o.Name, Reason: "a user resumed its rollout", Driver: o.Driver, Instance: instanceID(o)}}
		return it
	})
}

// heldBack says why what is wanted isn't rolled out; empty where it is.
func heldBack(o spec.Observed, want *spec.Daemon) string {
	if o.Stamp == nil || want == nil || o.Stamp.Digest == want.Digest {
		return ""
	}
	if o.Held == nil {
		if err := unmade(want); err != nil {
			return "its program can't be made: " + err.Error()
		}
		return ""
	}
	text := "its rollout is paused"
	if o.Held.By != "" {
		text += " by " + o.Held.By
	}
	if !o.Held.At.IsZero() {
		text += " since " + o.Held.At.Local().Format(time.DateTime)
	}
	return text + "; rollout resume lets it go on"
}

// instead is what is kept of a daemon whose rollout is paused, in the place of want, and why; want itself where it isn't.
func (e *Engine) instead(ctx context.Context, want *spec.Daemon, o spec.Observed) (*spec.Daemon, string, error) {
	why := heldBack(o, want)
	if why == "" {
		return want, "", nil
	}
	kept, err := e.revive(ctx, *o.Stamp)
	return kept, why, err
}

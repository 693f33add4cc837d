package reconcile

import (
	"context"
	"fmt"
	"time"

	"reconciler.dev/reconciler/pkg/spec"
)

// relapse is how long after a change has proven itself a run still puts back what ran before, where the daemon turns unhealthy and nobody said how long it has to stay Ready.
const relapse = 2 * time.Minute

// probation is the time in which a change that has proven itself may still turn out bad.
type probation struct {
	generation int64
	began      time.Time
}

// release begins the probation of a change that has proven itself.
func (en *entry) release(st spec.Stamp, now time.Time) {
	u := en.trial.update
	if en.trial = nil; u.OnFailure == spec.UpdateRollback && u.ReadyFor == 0 {
		en.probation = &probation{st.Generation, now}
	}
}

// relapsed says why a change that had proven itself is bad all the same; empty where it isn't. An end isn't: what has ended is started again.
func (en *entry) relapsed(c conclusion, now time.Time) string {
	p := en.probation
	if p == nil {
		return ""
	}
	since := now.Sub(p.began)
	if en.trial != nil || c.observed.Stamp.Generation != p.generation || since > relapse {
		en.probation = nil
		return ""
	}
	if c.observed.State != spec.Running || c.observed.Paused != nil || !c.health.Known || c.health.Ready {
		return ""
	}
	return fmt.Sprintf("it turned unhealthy %s after its update: %s", since.Round(time.Second), c.health.LastError)
}

// replaceable says whether there is anything to go back to from what is applied.
func (k *keeping) replaceable(ctx context.Context, st spec.Stamp) bool {
	past, err := k.loop.host.History(ctx, st.Name)
	if err != nil {
		k.loop.opt.Log.Error(err, "find out what to go back to", "host", k.loop.host.Name(), "name", st.Name)
		return false
	}
	return goodBefore(past, st) != nil
}

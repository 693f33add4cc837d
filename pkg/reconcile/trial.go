package reconcile

import (
	"fmt"
	"time"

	"reconciler.dev/reconciler/pkg/spec"
)

// trial is the time in which a change proves itself: it has to be Ready by the deadline, and to stay so for as long as its spec.update says.
type trial struct {
	update   spec.Update
	deadline time.Time
	since    time.Time // since when it is Ready; zero: it isn't yet
	ends     int       // of instances, before the trial began
	ripe     bool      // it has proven itself, but for the instance before it, which has yet to go
}

// newTrial begins one for a daemon that was started just now, or is found on its way.
func newTrial(u spec.Update, ends int, now time.Time) *trial {
	return &trial{update: u, ends: ends, deadline: now.Add(u.ReadyTimeout.D())}
}

// proves says whether steps bring about what has to prove itself.
func proves(steps []spec.Step) bool {
	for _, s := range steps {
		if s.Verb == spec.VerbStart || s.Verb == spec.VerbReload {
			return true
		}
	}
	return false
}

// judge says what a look comes to: the change has proven itself, has failed, or is to be looked at again. ends counts the ends of instances so far.
func (t *trial) judge(c conclusion, ends int, now time.Time) (again time.Duration, failure string, proven bool) {
	o := c.observed
	ready := o.State == spec.Running && c.health.Ready
	if ready && t.since.IsZero() {
		t.since = now
	}
	switch {
	case c.err != nil && hopeless(c.err):
		return 0, c.err.Error(), false
	case o.Paused != nil, c.decision.Action == Unchanged && o.State == spec.Exited && !failed(o):
		return 0, "", true // a user stopped it, or it has done its work
	case ready && now.Sub(t.since) >= t.update.ReadyFor.D():
		t.ripe = true
		return time.Nanosecond, "", o.Outgoing == nil
	case ready:
		return t.update.ReadyFor.D() - now.Sub(t.since), "", false
	case !t.since.IsZero() && (o.State == spec.Starting || o.State == spec.Stopping):
		return busyLook, "", false // somebody is just at it: the instance before it is being stopped, for one
	case !t.since.IsZero():
		return 0, fmt.Sprintf("it was Ready for %s only: %s", now.Sub(t.since).Round(time.Millisecond), lacking(c)), false
	case ends-t.ends >= endsOfApply, c.decision.Action == Unchanged && o.State == spec.Exited:
		return 0, "it doesn't stay up: " + Ending(o) + inBackground(o), false
	case !now.Before(t.deadline):
		return 0, fmt.Sprintf("not Ready within %s: %s", t.update.ReadyTimeout, lacking(c)), false
	}
	if again = t.deadline.Sub(now); o.State != spec.Running {
		again = min(again, time.Second) // nobody may have seen it end
	}
	return again, "", false
}

// lacking says what a daemon lacks for being Ready.
func lacking(c conclusion) string {
	switch {
	case c.err != nil:
		return c.err.Error()
	case c.observed.State == spec.Running && c.health.LastError != "":
		return "it runs, but isn't Ready: " + c.health.LastError
	case c.observed.State == spec.Running:
		return "it runs, but isn't Ready yet"
	case c.decision.Action == Waiting:
		return c.decision.Reason
	}
	return Ending(c.observed)
}

// verdict is what is remembered of changes that failed, as it bears on what is wanted now.
type verdict struct {
	// of is the generation and digest of what was applied when the verdict was found.
	of string
	// why is why what is wanted isn't done; empty where it is.
	why string
	// held is why no change of it is rolled out; empty where one is.
	held string
	// halt is why it shall not run.
	halt string
	// instead is what is wanted in the place of the manifest's.
	instead *spec.Daemon
	// back is the generation that instead is of, where that is due to why.
	back int64
}

// wanted is what shall run: what the manifest says, or what ran before that failed. It is nil for a daemon that shall go.
func (en *entry) wanted() *spec.Daemon {
	if en.verdict.instead != nil {
		return en.verdict.instead
	}
	return en.want
}

// sentence says which revision a change that failed gives way to: the stamp to go back to, nil where nothing has to change; and why the change isn't tried. It is pure.
//
// A change is tried again when its manifest has become another one in between, or when a person applies it.
func sentence(past []spec.Revision, now spec.Stamp, want *spec.Daemon) (back *spec.Stamp, why string) {
	applied, tried := now.Digest == want.Digest, now.Generation-1 // the last that was, as far as that isn't what is applied
	if last := lastFailed(past); last > now.Generation {
		tried = last // beside it
	}
	for _, r := range past {
		switch {
		case r.Failed == "" || r.Digest != want.Digest:
		case applied && r.Generation == now.Generation:
			if last := goodBefore(past, now); last != nil {
				back = &last.Stamp
			}
			return back, r.Failed
		case !applied && r.Generation == tried:
			return &now, r.Failed
		}
	}
	return nil, ""
}

// lastFailed is the highest number of a revision that failed; 0 where none did.
func lastFailed(past []spec.Revision) (last int64) {
	for _, r := range past {
		if r.Failed != "" {
			last = max(last, r.Generation)
		}
	}
	return last
}

// goodBefore is the revision to go back to from now: the last one before it that was Ready, or else that didn't fail; nil where there is none.
func goodBefore(past []spec.Revision, now spec.Stamp) (good *spec.Revision) {
	for i := range past {
		r := &past[i]
		if r.Generation < now.Generation && r.Digest != now.Digest && r.Failed == "" && (r.Ready || good == nil || !good.Ready) {
			good = r
		}
	}
	return good
}

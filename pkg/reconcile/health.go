package reconcile

import (
	"errors"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// UpFor is how long a daemon without a health check must have been up to be Ready.
const UpFor = time.Second

const (
	// firstProbe is the time from a start to the first check. While a daemon starts, every further wait is half as long again as the one
	// before, up to the interval: a start that took T is seen to be done after 1.5 T + firstProbe at the latest.
	firstProbe = 25 * time.Millisecond
	// adoptProbes is the time over which the first checks of daemons that were up already are spread.
	adoptProbes = time.Second
)

// Health is what the checks of one instance have come to.
type Health struct {
	// Instance is the instance that this speaks of.
	Instance string
	// Known says that there is a verdict: a daemon that is not Known to be well or unwell is still starting, or was not yet looked at.
	Known bool
	// Ready is the verdict; false where there is none.
	Ready bool
	// Successes and Failures are how many of the last checks in a row passed or failed; one of them is 0. Failures that don't count,
	// as in the start period, are not in it.
	Successes, Failures int
	// LastError is what the last check found wrong; empty where it passed.
	LastError string
	// Since is when Known and Ready last changed; at first, the start of the instance.
	Since time.Time
}

// Tracker turns the results of a daemon's health checks into a verdict, slowly enough not to flap: it takes successThreshold successes in
// a row to become Ready, and failureThreshold failures in a row to lose that. Failures before the first success don't count until the
// start period is over. Without a health check a daemon is Ready once it has been up UpFor.
//
// It does no I/O and reads no clock. Times are compared as Go compares them, by the monotonic clock where they carry a reading of it. A
// Tracker is for one goroutine at a time.
type Tracker struct {
	check   *spec.Health
	started time.Time
	grace   time.Time // failures before it don't count unless proven
	proven  bool      // a check passed since the grace period began
	checks  int       // since then
	health  Health
}

// NewTracker returns the tracker of an instance that was started at started. check is nil for a daemon without a health check.
func NewTracker(check *spec.Health, instance string, started time.Time) *Tracker {
	t := &Tracker{check: check, started: started, health: Health{Instance: instance, Since: started}}
	t.forgive(started)
	return t
}

// Health returns what is known so far.
func (t *Tracker) Health() Health { return t.health }

// Instance makes t the tracker of that instance: another one than before starts from nothing.
func (t *Tracker) Instance(id string, started time.Time) {
	if id != t.health.Instance {
		*t = *NewTracker(t.check, id, started)
	}
}

// Check replaces the health check of the running instance. The verdict stands until the new check comes to another.
func (t *Tracker) Check(check *spec.Health) {
	t.check, t.checks = check, 0
	t.health.Successes, t.health.Failures = 0, 0
}

// Woke tells t that the machine slept until at. The daemon gets a fresh start period: it, and all that it depends on, may need a while to
// find its feet. The verdict stands.
func (t *Tracker) Woke(at time.Time) {
	t.health.Failures = 0
	t.forgive(at)
}

func (t *Tracker) forgive(from time.Time) {
	t.grace, t.proven, t.checks = from, false, 0
	if t.check != nil {
		t.grace = from.Add(t.check.StartPeriod.D())
	}
}

// Observe counts the result of one check, nil where it passed, and returns whether the verdict changed. A check that couldn't be made
// because the host is unreachable says nothing of the daemon.
func (t *Tracker) Observe(result error, at time.Time) (changed bool) {
	t.checks++
	h := &t.health
	h.LastError = ""
	if result != nil {
		h.LastError = result.Error()
	}
	switch {
	case errors.Is(result, drivers.ErrUnreachable):
		return false
	case result == nil:
		t.proven = true
		h.Successes, h.Failures = h.Successes+1, 0
		return h.Successes >= t.threshold(true) && t.verdict(true, at)
	case !t.proven && at.Before(t.grace):
		h.Successes = 0
		return false
	default:
		h.Successes, h.Failures = 0, h.Failures+1
		return h.Failures >= t.threshold(false) && t.verdict(false, at)
	}
}

func (t *Tracker) threshold(success bool) int {
	switch {
	case t.check == nil:
		return 1
	case success:
		return t.check.SuccessThreshold
	default:
		return t.check.FailureThreshold
	}
}

func (t *Tracker) verdict(ready bool, at time.Time) (changed bool) {
	h := &t.health
	if h.Known && h.Ready == ready {
		return false
	}
	h.Known, h.Ready, h.Since = true, ready, at
	return true
}

// Next is how long after at, the time of the last result, the next check is due, and false where none ever is. A daemon without a health
// check is due once, when it has been up UpFor, and its result is nil.
//
// A check comes early only while failures don't count: those that do are always an interval apart.
func (t *Tracker) Next(at time.Time) (time.Duration, bool) {
	if t.check == nil {
		return max(t.started.Add(UpFor).Sub(at), 0), !t.health.Ready
	}
	interval := max(t.check.Interval.D(), leastDelay)
	spread := fraction(t.health.Instance, t.checks)
	switch {
	case !t.proven && at.Before(t.grace):
		wait := firstProbe
		for i := 0; i < t.checks && wait < interval; i++ {
			wait += wait / 2
		}
		return min(wait, interval), true
	case t.checks == 0:
		return time.Duration(spread * float64(min(interval, adoptProbes))), true
	default:
		return interval + time.Duration((spread-0.5)*jitter*float64(interval)), true
	}
}

package web

import "time"

// rhythm is when somebody has asked lately. Its zero value is nobody.
type rhythm struct {
	at []time.Time
	// before is when the next is expected, less a little.
	before *time.Timer
}

// ask adds who asks now, and says when the next is to be expected: those who ask come at one interval, or are two that do.
func (r *rhythm) ask(now time.Time) (next time.Time, regular bool) {
	if r.at = append(r.at, now); len(r.at) > 5 {
		r.at = append(r.at[:0], r.at[1:]...)
	}
	last := len(r.at) - 1
	for askers := 1; 2*askers <= last; askers++ {
		interval := now.Sub(r.at[last-askers])
		if off := interval - r.at[last-askers].Sub(r.at[last-2*askers]); off.Abs() <= interval/10 {
			return r.at[last+1-askers].Add(interval), true
		}
	}
	return time.Time{}, false
}

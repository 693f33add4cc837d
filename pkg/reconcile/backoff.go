package reconcile

import (
	"encoding/binary"
	"hash/fnv"
	"time"

	"reconciler.dev/reconciler/pkg/spec"
)

const (
	// jitter is how far a wait may be from its nominal length, to either side, so that what failed together isn't tried together.
	jitter = 0.2
	// leastDelay is what a wait that isn't the first never goes below, whatever the manifest says: a daemon that ends at once must not
	// keep a core busy.
	leastDelay = 10 * time.Millisecond

	firstRetry = 200 * time.Millisecond
	lastRetry  = time.Minute
)

// Delay is how long to wait, from the end of a daemon, before it is started again when it was restarted attempts times in a row before:
// not at all the first time, then about b.Initial, doubling up to b.Max. The jitter of ±20% is a function of name and attempts, so that
// equal plans are made of equal inputs; it never takes a wait above b.Max.
func Delay(b spec.Backoff, name string, attempts int) time.Duration {
	if attempts <= 0 {
		return 0
	}
	return grow(max(b.Initial.D(), leastDelay), b.Max.D(), name, attempts)
}

// Attempts is how many restarts in a row led to the instance i, as far as the backoff remembers: none where i stayed up for at least
// b.ResetAfter.
func Attempts(b spec.Backoff, i *spec.Instance) int {
	if i == nil || b.ResetAfter > 0 && i.Up >= b.ResetAfter.D() {
		return 0
	}
	return i.Attempts
}

// RetryDelay is how long to wait before a step of name that failed is tried again, after failures failures in a row: 200 ms at first,
// doubling up to a minute, with the jitter of Delay.
func RetryDelay(name string, failures int) time.Duration {
	return grow(firstRetry, lastRetry, name, max(failures, 1))
}

// grow doubles first for every n beyond 1, up to limit, and spreads the result around that.
func grow(first, limit time.Duration, name string, n int) time.Duration {
	limit = max(limit, first)
	d := first
	for i := 1; i < n && d < limit; i++ {
		d += min(d, limit-d)
	}
	low, high := float64(d)*(1-jitter), min(float64(d)*(1+jitter), float64(limit))
	return time.Duration(low + (high-low)*fraction(name, n))
}

// fraction is a number in [0, 1) that looks random and depends only on its arguments.
func fraction(name string, n int) float64 {
	h := fnv.New64a()
	h.Write(binary.LittleEndian.AppendUint64([]byte(name), uint64(n)))
	return float64(mix(h.Sum64())>>11) / (1 << 53)
}

// mix is the finalizer of splitmix64: FNV alone leaves the high bits of short inputs alike.
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

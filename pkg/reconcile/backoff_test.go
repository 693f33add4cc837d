package reconcile

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"testing/quick"
	"time"

	"reconciler.dev/reconciler/pkg/spec"
)

func backoff(initial, most, resetAfter time.Duration) spec.Backoff {
	return spec.Backoff{Initial: spec.Duration(initial), Max: spec.Duration(most), ResetAfter: spec.Duration(resetAfter)}
}

func TestDelay(t *testing.T) {
	usual := backoff(time.Second, 5*time.Minute, time.Minute)
	for _, tt := range []struct {
		name     string
		backoff  spec.Backoff
		attempts int
		low      time.Duration
		high     time.Duration
	}{
		{"no wait before the first restart", usual, 0, 0, 0},
		{"a count below zero is none", usual, -1, 0, 0},
		{"about initial before the second", usual, 1, 800 * time.Millisecond, 1200 * time.Millisecond},
		{"about double before the third", usual, 2, 1600 * time.Millisecond, 2400 * time.Millisecond},
		{"and so on", usual, 5, 12800 * time.Millisecond, 19200 * time.Millisecond},
		{"never above max", usual, 10, 4 * time.Minute, 5 * time.Minute},
		{"however long it goes on", usual, math.MaxInt, 4 * time.Minute, 5 * time.Minute},
		{"max that is no power of two of initial", backoff(time.Second, 7*time.Second, 0), 4, 5600 * time.Millisecond, 7 * time.Second},
		{"max below initial is initial", backoff(time.Minute, time.Second, 0), 3, 48 * time.Second, time.Minute},
		{"no max is initial", backoff(time.Second, 0, 0), 9, 800 * time.Millisecond, time.Second},
		{"never a busy loop", backoff(0, 0, 0), 9, 8 * time.Millisecond, 10 * time.Millisecond},
		{"no overflow", backoff(math.MaxInt64/3, math.MaxInt64, 0), 9, math.MaxInt64 / 10 * 8, math.MaxInt64},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for i := range 100 {
				if d := Delay(tt.backoff, fmt.Sprint("daemon-", i), tt.attempts); d < tt.low || d > tt.high {
					t.Fatalf("Delay = %v, want %v to %v", d, tt.low, tt.high)
				}
			}
		})
	}
}

func TestDelayIsAFunctionOfItsArguments(t *testing.T) {
	b := backoff(time.Second, 5*time.Minute, time.Minute)
	same := func(name string, attempts uint8) bool {
		first, second := Delay(b, name, int(attempts)), Delay(b, name, int(attempts))
		return first == second
	}
	if err := quick.Check(same, nil); err != nil {
		t.Error(err)
	}
}

// TestDelaySpreads: a hundred daemons that a shared outage ended are not all restarted in the same moment, at any attempt.
func TestDelaySpreads(t *testing.T) {
	b := backoff(time.Second, 5*time.Minute, time.Minute)
	for _, attempts := range []int{1, 4, 8, 30} {
		var tenths [10]int
		low, width := 0.8*float64(grownTo(b, attempts)), 0.4*float64(grownTo(b, attempts))
		if grownTo(b, attempts) == b.Max.D() {
			width /= 2 // the upper half is cut off
		}
		for i := range 1000 {
			d := Delay(b, fmt.Sprint("daemon-", i), attempts)
			tenths[min(int((float64(d)-low)/width*10), 9)]++
		}
		if least, most := slices.Min(tenths[:]), slices.Max(tenths[:]); least < 60 || most > 140 {
			t.Errorf("attempt %d: of 1000 daemons these are in each tenth of the range: %v", attempts, tenths)
		}
	}
}

func grownTo(b spec.Backoff, attempts int) time.Duration {
	return min(b.Initial.D()<<(attempts-1), b.Max.D())
}

func TestAttempts(t *testing.T) {
	b := backoff(time.Second, time.Minute, time.Minute)
	for _, tt := range []struct {
		name    string
		backoff spec.Backoff
		last    *spec.Instance
		want    int
	}{
		{"never started", b, nil, 0},
		{"ended soon", b, &spec.Instance{Attempts: 4, Up: time.Minute - 1}, 4},
		{"stayed up long enough", b, &spec.Instance{Attempts: 4, Up: time.Minute}, 0},
		{"not known how long it was up", b, &spec.Instance{Attempts: 4}, 4},
		{"no resetAfter never forgets", backoff(1, 2, 0), &spec.Instance{Attempts: 4, Up: time.Hour}, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Attempts(tt.backoff, tt.last); got != tt.want {
				t.Errorf("Attempts = %d, want %d", got, tt.want)
			}
		})
	}
}

func TestRetryDelay(t *testing.T) {
	nominal := firstRetry
	for failures := 1; failures < 20; failures++ {
		d := RetryDelay("web", failures)
		if low, high := nominal*8/10, min(nominal*12/10, lastRetry); d < low || d > high {
			t.Errorf("failure %d: retry after %v, want %v to %v", failures, d, low, high)
		}
		nominal = min(2*nominal, lastRetry)
	}
	if d := RetryDelay("web", 0); d < firstRetry*8/10 {
		t.Errorf("no failure: retry after %v", d)
	}
}

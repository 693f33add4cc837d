package reconcile

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

var errRefused = errors.New("connection refused")

// started is when every instance of these tests was started.
var started = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func check(startPeriod time.Duration, rise, fall int) *spec.Health {
	return &spec.Health{
		URL: "http://localhost/", Interval: spec.Duration(10 * time.Second), Timeout: spec.Duration(2 * time.Second),
		StartPeriod: spec.Duration(startPeriod), SuccessThreshold: rise, FailureThreshold: fall,
	}
}

// play feeds a tracker one result a second and returns the verdict after each: ? none, R ready, N not ready. In results, + is a check that
// passed, - one that failed, x one that found the host unreachable, z a sleep of the machine and n a new instance.
func play(tr *Tracker, results string) string {
	var verdicts strings.Builder
	for i, r := range results {
		at := started.Add(time.Duration(i+1) * time.Second)
		switch r {
		case '+':
			tr.Observe(nil, at)
		case '-':
			tr.Observe(errRefused, at)
		case 'x':
			tr.Observe(fmt.Errorf("probe web: %w", drivers.ErrUnreachable), at)
		case 'z':
			tr.Woke(at)
		case 'n':
			tr.Instance(fmt.Sprint("instance-", i), at)
		}
		switch h := tr.Health(); {
		case !h.Known:
			verdicts.WriteByte('?')
		case h.Ready:
			verdicts.WriteByte('R')
		default:
			verdicts.WriteByte('N')
		}
	}
	return verdicts.String()
}

func TestTrackerVerdicts(t *testing.T) {
	for _, tt := range []struct {
		name    string
		check   *spec.Health
		results string
		want    string
	}{
		{"one success makes it ready", check(0, 1, 3), "+", "R"},
		{"as many as asked for", check(0, 3, 3), "++-+++", "????" + "?R"},
		{"one failure changes nothing", check(0, 1, 3), "+-+-+", "RRRRR"},
		{"three in a row do", check(0, 1, 3), "+---", "RRRN"},
		{"and it takes as many successes again", check(0, 2, 2), "++--+-++", "?RRNNNNR"},
		{"failures while it starts don't count", check(10*time.Second, 1, 3), "-----+", "?????R"},
		{"until the start period is over", check(4*time.Second, 1, 3), "------", "?????N"},
		{"or until the first success", check(time.Minute, 2, 3), "--+---", "?????N"},
		{"without a start period they count at once", check(0, 1, 2), "--", "?N"},
		{"an unreachable host says nothing", check(0, 1, 2), "+xxx-x+", "RRRRRRR"},
		{"and doesn't end a row of failures", check(0, 1, 2), "+-x-", "RRRN"},
		{"a new instance starts from nothing", check(0, 1, 2), "+n-+", "R??R"},
		{"with its own start period", check(3*time.Second, 1, 1), "+-n--+-", "RN???RN"},
		{"after a sleep there is a fresh start period", check(3*time.Second, 1, 1), "+z---", "RRRRN"},
		{"that ends with the first success", check(9*time.Second, 1, 1), "+z--+-", "RRRRRN"},
		{"a sleep forgets failures", check(1*time.Second, 1, 3), "+--z---", "RRRRRRN"},
		{"an unwell one stays unwell over a sleep", check(9*time.Second, 1, 1), "+-z-+", "RNNNR"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := play(NewTracker(tt.check, "one", started), tt.results); got != tt.want {
				t.Errorf("results %s: verdicts %s, want %s", tt.results, got, tt.want)
			}
		})
	}
}

func TestTrackerHealth(t *testing.T) {
	tr := NewTracker(check(0, 1, 2), "one", started)
	at := func(s int) time.Time { return started.Add(time.Duration(s) * time.Second) }
	for _, tt := range []struct {
		result  error
		at      int
		changed bool
		want    Health
	}{
		{errRefused, 1, false, Health{Instance: "one", Failures: 1, LastError: "connection refused", Since: at(0)}},
		{nil, 2, true, Health{Instance: "one", Known: true, Ready: true, Successes: 1, Since: at(2)}},
		{nil, 3, false, Health{Instance: "one", Known: true, Ready: true, Successes: 2, Since: at(2)}},
		{errRefused, 4, false, Health{Instance: "one", Known: true, Ready: true, Failures: 1, LastError: "connection refused", Since: at(2)}},
		{errRefused, 5, true, Health{Instance: "one", Known: true, Failures: 2, LastError: "connection refused", Since: at(5)}},
		{errRefused, 6, false, Health{Instance: "one", Known: true, Failures: 3, LastError: "connection refused", Since: at(5)}},
	} {
		if changed := tr.Observe(tt.result, at(tt.at)); changed != tt.changed {
			t.Errorf("second %d: changed %v, want %v", tt.at, changed, tt.changed)
		}
		if diff := cmp.Diff(tt.want, tr.Health()); diff != "" {
			t.Errorf("second %d (-want +got):\n%s", tt.at, diff)
		}
	}
}

func TestTrackerSameInstanceGoesOn(t *testing.T) {
	tr := NewTracker(check(0, 1, 1), "one", started)
	tr.Observe(nil, started)
	tr.Instance("one", started.Add(time.Hour))
	if h := tr.Health(); !h.Ready {
		t.Errorf("the same instance started anew: %+v", h)
	}
}

func TestTrackerWithoutACheck(t *testing.T) {
	tr := NewTracker(nil, "one", started)
	if d, again := tr.Next(started.Add(UpFor / 4)); d != UpFor*3/4 || !again {
		t.Errorf("Next = %v, %v; want %v after the start", d, again, UpFor)
	}
	tr.Observe(nil, started.Add(UpFor))
	if h := tr.Health(); !h.Ready || !h.Known {
		t.Errorf("not ready after %v: %+v", UpFor, h)
	}
	if d, again := tr.Next(started.Add(UpFor)); again {
		t.Errorf("a ready daemon without a check is due again after %v", d)
	}
	if d, again := NewTracker(nil, "two", started).Next(started.Add(time.Hour)); d != 0 || !again {
		t.Errorf("one that is long up: Next = %v, %v; want now", d, again)
	}
}

func TestTrackerCheckChanges(t *testing.T) {
	at := started.Add(time.Hour)
	tr := NewTracker(check(0, 1, 2), "one", started)
	tr.Observe(nil, at)
	tr.Observe(errRefused, at)
	tr.Check(check(0, 1, 2))
	tr.Observe(errRefused, at)
	if h := tr.Health(); !h.Ready {
		t.Errorf("a failure of the check before counted: %+v", h)
	}
	tr.Observe(errRefused, at)
	tr.Check(nil)
	if d, again := tr.Next(at); d != 0 || !again {
		t.Errorf("unwell, and its check was taken away: Next = %v, %v; want now", d, again)
	}
	tr.Check(check(0, 1, 2))
	if d, _ := tr.Next(at); d > adoptProbes {
		t.Errorf("a new check is first made after %v", d)
	}
}

// TestTrackerNextWhileStarting: readiness is seen soon, however long a start takes, and with few checks.
func TestTrackerNextWhileStarting(t *testing.T) {
	for _, up := range []time.Duration{30 * time.Millisecond, 300 * time.Millisecond, 3 * time.Second, 20 * time.Second} {
		tr, at, checks := NewTracker(check(30*time.Second, 1, 3), "one", started), started, 0
		for !tr.Health().Ready {
			d, again := tr.Next(at)
			if !again {
				t.Fatalf("up after %v: no further check", up)
			}
			at = at.Add(d)
			var result error
			if at.Sub(started) < up {
				result = errRefused
			}
			tr.Observe(result, at)
			checks++
		}
		if late := at.Sub(started) - up; late > up/2+firstProbe || checks > 16 {
			t.Errorf("up after %v: seen %v late, with %d checks", up, late, checks)
		}
	}
}

// TestTrackerNextAtIntervals: failures that count are an interval apart, give or take the jitter, so that a short trouble isn't counted thrice.
func TestTrackerNextAtIntervals(t *testing.T) {
	c := check(30*time.Second, 1, 3)
	for name, results := range map[string][]error{
		"ready":                    {nil, nil},
		"failing":                  {nil, errRefused, errRefused},
		"start period over":        {errRefused},
		"unwell":                   {nil, errRefused, errRefused, errRefused, errRefused},
		"just recovered":           {nil, errRefused, errRefused, errRefused, nil},
		"unreachable in the midst": {nil, drivers.ErrUnreachable},
	} {
		tr, at := NewTracker(c, "one", started), started.Add(time.Hour)
		for _, r := range results {
			tr.Observe(r, at)
		}
		if d, again := tr.Next(at); !again || d < 9*time.Second || d > 11*time.Second {
			t.Errorf("%s: next check after %v, %v; want about %v", name, d, again, c.Interval)
		}
	}
}

func TestTrackerNextSpreadsAdoptedDaemons(t *testing.T) {
	first, late := 0, 0
	for i := range 1000 {
		d, _ := NewTracker(check(time.Second, 1, 3), fmt.Sprint("instance-", i), started).Next(started.Add(time.Hour))
		if d < 0 || d > adoptProbes {
			t.Fatalf("first check after %v", d)
		}
		if d < adoptProbes/2 {
			first++
		} else {
			late++
		}
	}
	if first < 400 || late < 400 {
		t.Errorf("first checks of 1000 daemons: %d in the first half of %v, %d in the second", first, adoptProbes, late)
	}
}

func TestSlept(t *testing.T) {
	before := Clocks{Awake: time.Hour, Total: 3 * time.Hour}
	for _, tt := range []struct {
		name         string
		awake, total time.Duration
		want         time.Duration
	}{
		{"awake", time.Minute, time.Minute, 0},
		{"readings taken a little apart", time.Minute, time.Minute + time.Millisecond, 0},
		{"asleep for an hour", time.Minute, time.Hour + time.Minute, time.Hour},
		{"a wall clock set back is no sleep", time.Minute, -time.Hour, 0},
	} {
		after := Clocks{Awake: before.Awake + tt.awake, Total: before.Total + tt.total}
		if got := Slept(before, after); got != tt.want {
			t.Errorf("%s: Slept = %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestSystemClocksRun(t *testing.T) {
	read := SystemClocks()
	before := read()
	time.Sleep(2 * time.Millisecond)
	if after := read(); after.Awake-before.Awake < time.Millisecond || after.Total <= before.Total || Slept(before, after) != 0 {
		t.Errorf("before %+v, after %+v", before, after)
	}
}

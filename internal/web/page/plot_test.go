package page

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/internal/figure"
	"reconciler.dev/reconciler/internal/web"
	"reconciler.dev/reconciler/pkg/spec"
)

// minutes are values one minute apart, the last of them now; nil is what nobody knows.
func minutes(vs ...*float64) (all []value) {
	for i, v := range vs {
		all = append(all, value{noon().Add(-time.Duration(len(vs)-1-i) * time.Minute), v})
	}
	return all
}

func TestDraw(t *testing.T) {
	words := func(v float64) string { return figure.Percent(v) }
	for name, tt := range map[string]struct {
		values []value
		limit  *float64
		want   plot
	}{
		"nothing known": {minutes(nil, nil), new(1.0), plot{Limit: -1, Summary: "Nothing is known of the last hour."}},
		"a gap is a gap": {minutes(new(1.0), nil, new(.5), new(0.0)), nil, plot{
			Limit: -1, Line: "M684.0 0.0h.1M708.0 60.0h.1L720.0 120.0", Area: "M684.0 120L684.0 0.0L684.0 120ZM708.0 120L708.0 60.0L720.0 120.0L720.0 120Z",
			Top: "100", Middle: "50.0", Summary: "0.0 at last, 50.0 on average, 100 at most.",
		}},
		"a limit near": {minutes(new(.6)), new(1.0), plot{
			Limit: 0, Line: "M720.0 48.0h.1", Area: "M720.0 120L720.0 48.0L720.0 120Z", Top: "100", Middle: "50.0", Summary: "60.0 at last, 60.0 on average, 60.0 at most. The limit is 100.",
		}},
		"a limit far off": {minutes(new(.1)), new(8.0), plot{
			Limit: -1, Line: "M720.0 0.0h.1", Area: "M720.0 120L720.0 0.0L720.0 120Z", Top: "10.0", Middle: "5.0", Summary: "10.0 at last, 10.0 on average, 10.0 at most. The limit is 800.",
		}},
		"an hour ago": {append([]value{{noon().Add(-61 * time.Minute), new(1.0)}}, minutes(new(1.0))...), nil, plot{
			Limit: -1, Line: "M720.0 0.0h.1", Area: "M720.0 120L720.0 0.0L720.0 120Z", Top: "100", Middle: "50.0", Summary: "100 at last, 100 on average, 100 at most.",
		}},
	} {
		if diff := cmp.Diff(tt.want, draw("", tt.values, tt.limit, noon(), round, words)); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

func TestScalesAreRound(t *testing.T) {
	for v, want := range map[float64]float64{0: 1, .03: .03, .11: .15, 1: 1, 1.01: 1.5, 7: 8, 9: 10, 4000: 4000} {
		if got := round(v); got < want*.999 || got > want*1.001 {
			t.Errorf("a scale up to %v ends at %v, want %v", v, got, want)
		}
	}
	for v, want := range map[int64]string{300 << 20: "320M", 512 << 20: "512M", 513 << 20: "640M", 7 << 30: "8.0G"} {
		if got := figure.Amount(int64(roundBytes(float64(v)))); got != want {
			t.Errorf("a scale up to %d bytes ends at %s, want %s", v, got, want)
		}
	}
}

func TestPlots(t *testing.T) {
	past := make([]web.Point, web.PastPoints)
	for i := range past {
		past[i] = web.Point{At: noon().Add(-time.Duration(len(past)-i) * web.PastEvery), CPU: new(float64(i % 3)), Memory: new(int64(i) << 20)}
	}
	u := web.Usage{Sample: spec.Sample{CPU: spec.CPUUse{Limit: new(spec.Bound(1500))}, Memory: spec.MemoryUse{Limit: new(spec.Unbounded)}}}
	all := plotsOf(past, u, noon())
	if all[0].Limit < 0 || !strings.Contains(all[0].Summary, "The limit is 150 %.") || strings.Contains(all[1].Summary, "limit") {
		t.Errorf("of two limits one is drawn: %v, %q; %v, %q", all[0].Limit, all[0].Summary, all[1].Limit, all[1].Summary)
	}
	for _, p := range all {
		if n := len(p.Line) + len(p.Area); n > 9<<10 {
			t.Errorf("the plot of %s has %d bytes", p.Title, n)
		}
	}
}

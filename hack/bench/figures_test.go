package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		in   figures
		want float64
	}{
		{figures{7}, 7},
		{figures{3, 1, 2}, 2},
		{figures{4, 1, 3, 2}, 2.5},
	} {
		if got := tt.in.median(); got != tt.want {
			t.Errorf("median of %v: got %v, want %v", tt.in, got, tt.want)
		}
	}
}

func TestBars(t *testing.T) {
	for _, tt := range []struct {
		name string
		row  row
		want string
	}{
		{"within the ratio", row{ours: figures{3}, floor: figures{2}, bar: 1.5}, "PASS"},
		{"beyond the ratio", row{ours: figures{3.1}, floor: figures{2}, bar: 1.5}, "FAIL"},
		{"medians count, not extremes", row{ours: figures{1, 1, 100}, floor: figures{1}, bar: 1}, "PASS"},
		{"within an absolute bar", row{ours: figures{75}, bar: 75}, "PASS"},
		{"beyond an absolute bar", row{ours: figures{75.1}, bar: 75}, "FAIL"},
		{"no bar", row{ours: figures{1000}, floor: figures{1}}, ""},
	} {
		if got := tt.row.verdict(); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestTableCountsMissedBars(t *testing.T) {
	var out strings.Builder
	missed := print(&out, []row{
		{what: "start", unit: "ms", ours: figures{300, 310, 290}, floor: figures{200}, bar: 1.5, peer: "1208 ms"},
		{what: "no-op", unit: "ms", ours: figures{80}, bar: 75},
		{what: "threads", ours: figures{9}},
	})
	want := `         median (min-max)  floor             ratio  bar          best peer
start    300 ms (290-310)  200 ms (200-200)  1.50   1.5 x  PASS  1208 ms
no-op    80.0 ms (80.0-80.0)                        75 ms  FAIL  
threads  9.00  (9.00-9.00)                                       
`
	if d := cmp.Diff(strings.Fields(want), strings.Fields(out.String())); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if missed != 1 {
		t.Errorf("%d missed, want 1", missed)
	}
}

func TestParseMains(t *testing.T) {
	got, err := parseMains([]byte("t1 12 1000000001\nt2 13 2000000000\nt3 14 30"))
	if err != nil {
		t.Fatal(err)
	}
	want := []began{{"t1", 12, time.Unix(1, 1)}, {"t2", 13, time.Unix(2, 0)}}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(began{})); d != "" {
		t.Errorf("a line still being written doesn't count (-want +got):\n%s", d)
	}
	if at := last(got); !at.Equal(time.Unix(2, 0)) {
		t.Errorf("last %v", at)
	}
	for _, bad := range []string{"t1 12\n", "t1 x 1\n", "t1 1 x\n", "\n"} {
		if _, err := parseMains([]byte(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// figures are measurements of one thing.
type figures []float64

func (f *figures) add(v float64)        { *f = append(*f, v) }
func (f *figures) took(d time.Duration) { f.add(float64(d) / float64(time.Millisecond)) }
func (f figures) min() float64          { return slices.Min(f) }
func (f figures) max() float64          { return slices.Max(f) }
func (f figures) text(unit string) string {
	return fmt.Sprintf("%s %s (%s-%s)", short(f.median()), unit, short(f.min()), short(f.max()))
}

func (f figures) median() float64 {
	s := slices.Sorted(slices.Values(f))
	if len(s)%2 == 1 {
		return s[len(s)/2]
	}
	return (s[len(s)/2-1] + s[len(s)/2]) / 2
}

// short writes three significant digits, and small numbers with three decimals.
func short(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

// row is one line of the result: what was measured, beside its floor and its bar.
type row struct {
	what, unit string
	ours       figures
	floor      figures // empty: the bar is absolute
	bar        float64 // at most this many units or, with a floor, times the floor; 0: shown only
	peer       string  // the best of the peers, for the reader
}

// met compares the median with the bar.
func (r row) met() bool {
	if r.bar == 0 {
		return true
	}
	if len(r.floor) > 0 {
		return r.ours.median() <= r.bar*r.floor.median()
	}
	return r.ours.median() <= r.bar
}

func (r row) verdict() string {
	switch {
	case r.bar == 0:
		return ""
	case r.met():
		return "PASS"
	}
	return "FAIL"
}

// print writes the table and returns how many bars were missed.
func print(w io.Writer, rows []row) (missed int) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\tmedian (min-max)\tfloor\tratio\tbar\t\tbest peer")
	for _, r := range rows {
		floor, ratio, bar := "", "", ""
		if len(r.floor) > 0 {
			floor, ratio = r.floor.text(r.unit), fmt.Sprintf("%.2f", r.ours.median()/r.floor.median())
		}
		if r.bar != 0 {
			bar = fmt.Sprintf("%g %s", r.bar, r.unit)
			if len(r.floor) > 0 {
				bar = fmt.Sprintf("%g x", r.bar)
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.what, r.ours.text(r.unit), floor, ratio, bar, r.verdict(), r.peer)
		if !r.met() {
			missed++
		}
	}
	if err := t.Flush(); err != nil {
		return missed + 1 // nobody saw the table
	}
	return missed
}

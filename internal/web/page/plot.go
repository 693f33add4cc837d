package page

import (
	"fmt"
	"math"
	"strings"
	"time"

	"reconciler.dev/reconciler/internal/figure"
	"reconciler.dev/reconciler/internal/web"
)

// The size of a plot in its own units. It is stretched to the room there is, and so has no text in it.
const (
	plotWidth  = 720
	plotHeight = 120
	plotSpan   = time.Hour
)

// plot is a line over the last hour.
type plot struct {
	Title string
	// Line and Area are SVG paths, empty where nothing is known. Each gap in what is known is one in them.
	Line, Area string
	// Limit is how high the limit is drawn; negative where it is out of sight, or there is none.
	Limit float64
	// Top and Middle are the words at the scale's ends; Summary is the plot in a sentence.
	Top, Middle, Summary string
}

// value is a moment of a plot; v is nil where nobody knows.
type value struct {
	at time.Time
	v  *float64
}

// draw makes a plot of values, oldest first; what is older than an hour is left out. limit is nil where there is none; round ends the scale.
func draw(title string, values []value, limit *float64, now time.Time, round func(float64) float64, write func(float64) string) plot {
	p := plot{Title: title, Limit: -1}
	var most, sum, last float64
	n := 0
	for _, v := range values {
		if v.v != nil {
			most, sum, last, n = max(most, *v.v), sum+*v.v, *v.v, n+1
		}
	}
	if n == 0 {
		p.Summary = "Nothing is known of the last hour."
		return p
	}
	p.Summary = fmt.Sprintf("%s at last, %s on average, %s at most.", write(last), write(sum/float64(n)), write(most))
	scale := most
	if limit != nil && *limit <= 2*most {
		scale = max(most, *limit)
	}
	scale = round(scale)
	if limit != nil {
		p.Summary += " The limit is " + write(*limit) + "."
		if *limit <= scale {
			p.Limit = height(*limit, scale)
		}
	}
	p.Top, p.Middle = write(scale), write(scale/2)
	p.Line, p.Area = paths(values, scale, now)
	return p
}

// ceiling is the next round number that isn't below v: a power of the base, or the parts of one that steps name.
func ceiling(v, base float64, steps []float64) float64 {
	if v <= 0 {
		return 1
	}
	unit := math.Pow(base, math.Floor(math.Log(v)/math.Log(base)))
	for _, s := range steps {
		if c := unit * s; c >= v {
			return c
		}
	}
	return unit * base
}

// round is what a scale of shares ends at, roundBytes one of bytes.
func round(v float64) float64      { return ceiling(v, 10, []float64{1, 1.5, 2, 3, 4, 5, 6, 8}) }
func roundBytes(v float64) float64 { return ceiling(v, 2, []float64{1, 1.25, 1.5}) }

func height(v, scale float64) float64 { return plotHeight * (1 - v/scale) }

// paths are the line and the area below it.
func paths(values []value, scale float64, now time.Time) (line, area string) {
	var l, a strings.Builder
	var x float64
	open := false
	shut := func() {
		if open {
			fmt.Fprintf(&a, "L%.1f %dZ", x, plotHeight)
		}
		open = false
	}
	for _, v := range values {
		ago := now.Sub(v.at)
		if v.v == nil || ago > plotSpan || ago < 0 {
			shut()
			continue
		}
		x = plotWidth * (1 - float64(ago)/float64(plotSpan))
		y := height(*v.v, scale)
		if open {
			fmt.Fprintf(&l, "L%.1f %.1f", x, y)
		} else {
			fmt.Fprintf(&l, "M%.1f %.1fh.1", x, y) // so that a single point shows
			fmt.Fprintf(&a, "M%.1f %d", x, plotHeight)
		}
		fmt.Fprintf(&a, "L%.1f %.1f", x, y)
		open = true
	}
	shut()
	return l.String(), a.String()
}

// plotsOf are the two plots of a daemon.
func plotsOf(past []web.Point, u web.Usage, now time.Time) []plot {
	cpu, memory := make([]value, len(past)), make([]value, len(past))
	for i, p := range past {
		cpu[i], memory[i] = value{p.At, p.CPU}, value{at: p.At}
		if p.Memory != nil {
			memory[i].v = new(float64(*p.Memory))
		}
	}
	return []plot{
		draw("CPU", cpu, bound(u.CPU.Limit, 1000), now, round, func(v float64) string { return figure.Percent(v) + " %" }),
		draw("Memory", memory, bound(u.Memory.Limit, 1), now, roundBytes, func(v float64) string { return figure.Amount(int64(v)) }),
	}
}

package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"reconciler.dev/reconciler/pkg/spec"
)

// unknown stands for what isn't known, which is never 0.
const unknown = "?"

// known writes a figure, or that it isn't known.
func known[T any](v *T, write func(T) string) string {
	if v == nil {
		return unknown
	}
	return write(*v)
}

// percent is a share as a percentage; of CPU time, 100 is one core.
func percent(share float64) string {
	if p := share * 100; p < 99.95 {
		return strconv.FormatFloat(p, 'f', 1, 64)
	}
	return strconv.FormatFloat(share*100, 'f', 0, 64)
}

// amount is a number of bytes in four characters at most and a unit, as powers of 1024.
func amount[N int64 | float64](n N) string {
	const units = "BKMGTPE"
	v, i := float64(n), 0
	for v >= 1000 && i < len(units)-1 {
		v /= 1024
		i++
	}
	if i == 0 || v >= 99.95 {
		return strconv.FormatFloat(v, 'f', 0, 64) + units[i:i+1]
	}
	return strconv.FormatFloat(v, 'f', 1, 64) + units[i:i+1]
}

// bounded is a limit, "-" for none.
func bounded(b spec.Bound, write func(int64) string) string {
	if b == spec.Unbounded {
		return "-"
	}
	return write(int64(b))
}

func integer(n int64) string { return strconv.FormatInt(n, 10) }

// cpuTime is as top writes it: minutes, seconds and hundredths.
func cpuTime(d time.Duration) string {
	if d >= 1000*time.Minute {
		return fmt.Sprintf("%.1fh", d.Hours())
	}
	return fmt.Sprintf("%d:%05.2f", int(d.Minutes()), (d % time.Minute).Seconds())
}

// bar fills a share of width cells, to an eighth of one. A share of more than 1 fills all.
func bar(share float64, width int) string {
	eighths := int(min(max(share, 0), 1)*float64(width*8) + 0.5)
	b := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		b += string([]rune("▏▎▍▌▋▊▉")[rest-1])
	}
	return b + strings.Repeat(" ", width-(eighths+7)/8)
}

// history draws shares, the last at the right, as columns of up to eight eighths of most. What isn't known is a gap.
func history(shares []*float64, most float64, width int) string {
	var b strings.Builder
	shares = shares[max(0, len(shares)-width):]
	b.WriteString(strings.Repeat(" ", width-len(shares)))
	for _, s := range shares {
		if s == nil || most <= 0 {
			b.WriteByte(' ')
			continue
		}
		b.WriteRune([]rune("▁▂▃▄▅▆▇█")[int(min(max(*s/most, 0), 1)*7+0.5)])
	}
	return b.String()
}

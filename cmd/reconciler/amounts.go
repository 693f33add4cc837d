package main

import (
	"fmt"
	"strings"
	"time"

	"reconciler.dev/reconciler/internal/figure"
	"reconciler.dev/reconciler/pkg/spec"
)

// unknown stands for what isn't known, which is never 0.
const unknown = figure.Unknown

// bounded is a limit, "-" for none.
func bounded(b spec.Bound, write func(int64) string) string {
	if b == spec.Unbounded {
		return "-"
	}
	return write(int64(b))
}

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

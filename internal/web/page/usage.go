package page

import (
	"strconv"
	"strings"
	"time"

	"reconciler.dev/reconciler/internal/figure"
	"reconciler.dev/reconciler/internal/web"
	"reconciler.dev/reconciler/pkg/spec"
)

// bound is a limit in the units of a figure; nil where there is none, or it isn't known.
func bound(b *spec.Bound, unit float64) *float64 {
	if b == nil || *b == spec.Unbounded {
		return nil
	}
	return new(float64(*b) / unit)
}

// usageOf are the figures of a daemon that runs. What isn't known is listed all the same, and said to be unknown.
func usageOf(d web.Daemon, u web.Usage) []fact {
	if d.Stale || u.State != spec.Running {
		return nil
	}
	limited := func(figure string, b *spec.Bound, write func(int64) string) string {
		if b == nil || *b == spec.Unbounded {
			return figure
		}
		return figure + " of " + write(int64(*b))
	}
	share := func(v float64) string { return figure.Percent(v) + " %" }
	cores := func(n int64) string { return share(float64(n) / 1000) }
	pair := func(a, b *float64) string {
		return figure.Known(a, bytesPerSecond) + " / " + figure.Known(b, bytesPerSecond)
	}
	return []fact{
		{"CPU", limited(figure.Known(u.Rates.CPU, share), u.CPU.Limit, cores)},
		{"CPU time", figure.Known(u.CPU.Usage, func(d time.Duration) string { return d.Round(time.Second).String() })},
		{"Throttled", figure.Known(throttled(u), share)},
		{"Memory", limited(figure.Known(u.Memory.Current, figure.Amount[int64]), u.Memory.Limit, figure.Amount[int64])},
		{"Anon / file", figure.Known(u.Memory.Anon, figure.Amount[int64]) + " / " + figure.Known(u.Memory.File, figure.Amount[int64])},
		{"Peak", figure.Known(u.Memory.Peak, figure.Amount[int64])},
		{"Read / write", pair(u.Rates.ReadBytes, u.Rates.WriteBytes)},
		{"Net in / out", pair(u.Rates.RxBytes, u.Rates.TxBytes)},
		{"Tasks", limited(figure.Known(u.Tasks, figure.Integer), u.TaskLimit, figure.Integer)},
		{"Open files", figure.Known(u.OpenFiles, figure.Integer)},
		{"Killed for memory", figure.Known(u.OOMKills, figure.Integer)},
		{"PSI CPU / mem / IO", strings.Join([]string{stall(u.Pressure.CPU), stall(u.Pressure.Memory), stall(u.Pressure.IO)}, " / ")},
		{"GPU", gpus(u.GPUs)},
	}
}

// throttled is as the verb stats has it: what has no limit isn't throttled, whoever counts that or not.
func throttled(u web.Usage) *float64 {
	if l := u.CPU.Limit; u.Rates.Throttled == nil && l != nil && *l == spec.Unbounded {
		return new(float64)
	}
	return u.Rates.Throttled
}

func stall(s *spec.Stalls) string {
	if s == nil || s.Some == nil {
		return unknown
	}
	return strconv.FormatFloat(s.Some.Avg10, 'f', 1, 64) + " %"
}

func gpus(all []spec.GPUUse) string {
	if all == nil {
		return unknown
	}
	if len(all) == 0 {
		return "none"
	}
	var says []string
	for _, g := range all[:min(len(all), 8)] {
		says = append(says, g.Name+" "+figure.Known(g.Memory, figure.Amount[int64])+", busy "+figure.Known(g.Utilisation, func(v float64) string { return strconv.FormatFloat(v, 'f', 0, 64) + " %" }))
	}
	return message(strings.Join(says, "; "))
}

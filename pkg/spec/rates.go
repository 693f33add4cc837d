package spec

import "time"

// Rate is how fast a daemon used something between two samples. What isn't known is nil, and never zero.
type Rate struct {
	// Over is the time between the two samples, by the host's clock; 0 where no rate is known.
	Over time.Duration `json:"overNs"`
	// CPU, User and System are shares of one core: 1.5 is one and a half cores.
	CPU    *float64 `json:"cpu,omitempty"`
	User   *float64 `json:"user,omitempty"`
	System *float64 `json:"system,omitempty"`
	// Throttled is the share of the periods in which its CPU limit stopped it, 0 to 1; 0 where it didn't want to run.
	Throttled *float64 `json:"throttled,omitempty"`
	// All these are a second.
	ReadBytes  *float64 `json:"readBytes,omitempty"`
	WriteBytes *float64 `json:"writeBytes,omitempty"`
	ReadOps    *float64 `json:"readOps,omitempty"`
	WriteOps   *float64 `json:"writeOps,omitempty"`
	RxBytes    *float64 `json:"rxBytes,omitempty"`
	TxBytes    *float64 `json:"txBytes,omitempty"`
}

// Rates tells how fast a daemon used things between two samples of it. A figure is nil where either sample lacks it, where it has gone down, and all of them where the samples aren't
// of the same instance or no time has passed.
func Rates(before, after Sample) Rate {
	over := after.Clock - before.Clock
	same := before.Name == after.Name && before.Instance != "" && before.Instance == after.Instance
	if !same || over <= 0 || before.State != Running || after.State != Running {
		return Rate{}
	}
	b, a, s := before, after, over.Seconds()
	return Rate{
		Over: over,
		CPU:  perSecond(b.CPU.Usage, a.CPU.Usage, over), User: perSecond(b.CPU.User, a.CPU.User, over), System: perSecond(b.CPU.System, a.CPU.System, over),
		Throttled: throttled(b.CPU, a.CPU),
		ReadBytes: growth(b.IO.ReadBytes, a.IO.ReadBytes, s), WriteBytes: growth(b.IO.WriteBytes, a.IO.WriteBytes, s),
		ReadOps: growth(b.IO.ReadOps, a.IO.ReadOps, s), WriteOps: growth(b.IO.WriteOps, a.IO.WriteOps, s),
		RxBytes: growth(b.Net.RxBytes, a.Net.RxBytes, s), TxBytes: growth(b.Net.TxBytes, a.Net.TxBytes, s),
	}
}

func perSecond(before, after *time.Duration, over time.Duration) *float64 {
	return growth(before, after, float64(over))
}

// growth is how much a counter grew, divided by over; nil where it isn't known.
func growth[N ~int64](before, after *N, over float64) *float64 {
	if before == nil || after == nil || *after < *before {
		return nil
	}
	r := float64(*after-*before) / over
	return &r
}

// throttled is the share of the periods between two samples that were throttled.
func throttled(before, after CPUUse) *float64 {
	if before.Periods == nil || after.Periods == nil {
		return nil
	}
	return growth(before.ThrottledPeriods, after.ThrottledPeriods, float64(max(1, *after.Periods-*before.Periods)))
}

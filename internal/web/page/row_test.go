package page

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/internal/web"
	"reconciler.dev/reconciler/pkg/spec"
)

func noon() time.Time { return time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC) }

// running is a daemon that has run well for a minute.
func running() web.Daemon {
	return web.Daemon{
		Host: "localhost", Phase: "Running", Word: "Current", Seen: noon(),
		Observed:   spec.Observed{Name: "web", State: spec.Running, Instance: &spec.Instance{ID: "i", PID: 7, Up: time.Minute, Restarts: 2}},
		Conditions: []spec.Condition{{Type: spec.Ready, Status: spec.True, Reason: "Healthy", LastTransitionTime: noon().Add(-50 * time.Second)}},
	}
}

func using(cpu float64, memory int64) web.Usage {
	return web.Usage{Sample: spec.Sample{State: spec.Running, Memory: spec.MemoryUse{Current: &memory, Limit: new(spec.Bound(1 << 30))}}, Rates: spec.Rate{CPU: &cpu}}
}

func TestRow(t *testing.T) {
	judged := func(d web.Daemon, ct spec.ConditionType, s spec.ConditionStatus, reason, message string) web.Daemon {
		d.Conditions = append([]spec.Condition{{Type: ct, Status: s, Reason: reason, Message: message, LastTransitionTime: noon()}}, d.Conditions...)
		return d
	}
	with := func(change func(*web.Daemon)) web.Daemon {
		d := running()
		change(&d)
		return d
	}
	lost := with(func(d *web.Daemon) { d.Stale = true })
	failed := judged(with(func(d *web.Daemon) {
		d.Phase, d.Word, d.State, d.Instance.Exit = "Failed", "Failed", spec.Exited, &spec.Exit{Known: true, Code: 3}
	}), spec.Stalled, spec.True, "Failed", "exit status 3")
	began, at := noon().Unix()-60, noon().Unix()
	well := state{Kind: kindOK, Phase: "Running", Ready: "yes", Restarts: "2", Since: began, Limit: "1.0G"}
	mine := figures{"12.5", "512M", 10}
	for name, tt := range map[string]struct {
		d     web.Daemon
		u     web.Usage
		known bool
		state state
		note  note
		fig   figures
	}{
		"well":              {running(), using(.125, 512<<20), true, well, note{"Healthy", at - 50}, mine},
		"figures not known": {running(), web.Usage{}, false, state{Kind: kindOK, Phase: "Running", Ready: "yes", Restarts: "2", Since: began}, note{"Healthy", at - 50}, figures{"?", "?", -1}},
		"a zero is a zero":  {running(), using(0, 0), true, well, note{"Healthy", at - 50}, figures{"0.0", "0B", 0}},
		"host lost, and what was known of it isn't any more": {lost, using(.125, 512<<20), true,
			state{Kind: kindUnknown, Phase: "Unknown", Why: "was Running when its host was last reached", Ready: "?", Restarts: "?", Since: notKnown},
			note{"not seen since; then it was Running", at}, figures{"?", "?", -1}},
		"driver can't tell": {with(func(d *web.Daemon) {
			d.State, d.Phase, d.Word, d.Message = spec.Unknown, "Unknown", "Unknown", "no bus"
		}), web.Usage{}, false,
			state{Kind: kindUnknown, Phase: "Unknown", Why: "no bus", Ready: "?", Restarts: "?", Since: notKnown}, note{"it can't be found out how it is: no bus", 0}, figures{"?", "?", -1}},
		"failed": {failed, web.Usage{}, false, state{Kind: kindBad, Phase: "Failed", Ready: "yes", Restarts: "2"}, note{"Failed: exit status 3", at}, figures{"–", "–", -1}},
		"progressing": {judged(with(func(d *web.Daemon) { d.Word = "InProgress" }), spec.Reconciling, spec.True, "Retrying", "disk full"), using(.125, 512<<20), true,
			state{Kind: kindBusy, Phase: "Running", Ready: "yes", Restarts: "2", Since: began, Limit: "1.0G"}, note{"Retrying: disk full", at}, mine},
		"stopped by a user": {with(func(d *web.Daemon) { d.Word, d.Phase, d.State, d.Instance = "Paused", "Stopped", spec.Exited, nil }), web.Usage{}, false,
			state{Kind: kindOff, Phase: "Stopped", Ready: "yes", Restarts: "–"}, note{"Healthy", at - 50}, figures{"–", "–", -1}},
		"changed by hand":        {with(func(d *web.Daemon) { d.Drift = []spec.Drift{{Field: "pids", Have: "9", Want: "5"}} }), using(.125, 512<<20), true, well, note{"changed by hand: pids is 9, not 5", 0}, mine},
		"a limit isn't enforced": {with(func(d *web.Daemon) { d.Lost = []spec.Loss{{Field: "memory", Reason: "no cgroup"}} }), using(.125, 512<<20), true, well, note{"not enforced: memory: no cgroup", 0}, mine},
		"another driver":         {with(func(d *web.Daemon) { d.Fallback = []string{"systemd: no bus"} }), using(.125, 512<<20), true, well, note{"not under systemd: no bus", 0}, mine},
		"was killed": {with(func(d *web.Daemon) { d.LastExit = &spec.Exit{Known: true, OOMKilled: true, At: noon()} }), using(.125, 512<<20), true, well,
			note{"started again after: killed by the kernel for its memory limit", at}, mine},
		"never judged": {with(func(d *web.Daemon) { d.Conditions = nil }), using(.125, 512<<20), true, state{Kind: kindOK, Phase: "Running", Ready: "?", Restarts: "2", Since: began, Limit: "1.0G"}, note{}, mine},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.state, stateOf(tt.d, tt.u)); diff != "" {
				t.Errorf("state:\n%s", diff)
			}
			if diff := cmp.Diff(tt.note, noteOf(tt.d)); diff != "" {
				t.Errorf("note:\n%s", diff)
			}
			if diff := cmp.Diff(tt.fig, figuresOf(tt.d, tt.u, tt.known)); diff != "" {
				t.Errorf("figures:\n%s", diff)
			}
		})
	}
}

// Each look finds when a daemon began anew, to within its rounding: that is no change.
func TestSettled(t *testing.T) {
	for name, tt := range map[string]struct{ before, now, want int64 }{
		"a second later":     {100, 101, 100},
		"started again":      {100, 103, 103},
		"wasn't known":       {notKnown, 100, 100},
		"isn't known now":    {100, notKnown, notKnown},
		"ended":              {1, 0, 0},
		"began at the epoch": {0, 1, 1},
	} {
		if got := (state{Since: tt.now}).settled(state{Since: tt.before}).Since; got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
}

func TestWords(t *testing.T) {
	for ago, want := range map[int64]string{0: "0s", 119: "119s", 120: "2m", 7199: "119m", 7200: "2h", 172799: "47h", 172800: "2d", -5: "0s"} {
		if got := age(noon().Unix()-ago, noon()); got != want {
			t.Errorf("%d seconds are %q, want %q", ago, got, want)
		}
	}
	if got := age(0, noon()) + age(notKnown, noon()); got != "–?" {
		t.Errorf("none and not known: %q", got)
	}
	for want, e := range map[string]spec.Exit{
		"exit status 3": {Known: true, Code: 3}, "killed by SIGSEGV": {Known: true, Signal: "SIGSEGV"}, "stopped": {Known: true, Asked: true, Signal: "SIGTERM"},
		"ended, and nobody knows how": {}, "killed by the kernel for its memory limit": {Known: true, Signal: "SIGKILL", OOMKilled: true},
	} {
		if got := ending(e); got != want {
			t.Errorf("%+v: %q, want %q", e, got, want)
		}
	}
}

// TestTheCopyThatIsToGoIsTold as long as it runs.
func TestTheCopyThatIsToGoIsTold(t *testing.T) {
	in := spec.Instance{ID: "i1", PID: 41, Generation: 3, StartedAt: noon()}
	told := func(out *spec.Instance) string {
		for _, f := range factsOf(web.Daemon{Observed: spec.Observed{Name: "web", Outgoing: out}}, web.Usage{}) {
			if f.Name == "Outgoing copy" {
				return f.Value
			}
		}
		return ""
	}
	if got, want := told(&in), "Process 41 of generation 3, started "+clock(noon())+"; it goes when the new one is Ready, and the figures are without it"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	ended := in
	ended.Exit = &spec.Exit{Known: true}
	if got := told(&ended) + told(nil) + told(&spec.Instance{}); got != "" {
		t.Errorf("of none that runs: %q", got)
	}
}

func TestThrottled(t *testing.T) {
	for name, tt := range map[string]struct {
		limit *spec.Bound
		rate  *float64
		want  string
	}{
		"counted": {new(spec.Bound(500)), new(.25), "25.0 %"}, "no limit": {new(spec.Unbounded), nil, "0.0 %"},
		"a limit, and nobody counts": {new(spec.Bound(500)), nil, "?"}, "no limit known": {nil, nil, "?"},
	} {
		u := using(0, 0)
		u.CPU.Limit, u.Rates.Throttled = tt.limit, tt.rate
		for _, f := range usageOf(running(), u) {
			if f.Name == "Throttled" && f.Value != tt.want {
				t.Errorf("%s: %s, want %s", name, f.Value, tt.want)
			}
		}
	}
}

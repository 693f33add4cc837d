package page

import (
	"cmp"
	"net/url"
	"slices"
	"time"

	"reconciler.dev/reconciler/internal/figure"
	"reconciler.dev/reconciler/internal/plaintext"
	"reconciler.dev/reconciler/internal/web"
	"reconciler.dev/reconciler/pkg/spec"
)

// The kinds of states, each with its colour, its sign and its word. They are classes in the style sheet and the values of ?state=.
const (
	kindOK      = "ok"
	kindBusy    = "busy"
	kindBad     = "bad"
	kindOff     = "off"
	kindUnknown = "unknown"
)

// state is what a row says in words, short and safe to show. Two that are equal look the same.
type state struct {
	Kind, Phase, Why string // Why is for who points at Phase
	Ready, ReadyWhy  string
	Restarts         string
	Since            int64 // Unix seconds at which its process began; 0 where none runs, notKnown where nobody can tell
	Limit            string
}

// note is the one sentence worth reading about a daemon, and since when that is so.
type note struct {
	Text string
	At   int64
}

// figures are what a row says in numbers, as they are shown.
type figures struct {
	CPU, Memory string
	// Fill is how much of its memory limit is used, in twentieths; -1 where there is no limit, or either isn't known.
	Fill int
}

// path is where a daemon's own page is.
func path(host, name string) string {
	return "/daemons/" + url.PathEscape(host) + "/" + url.PathEscape(name)
}

// stateOf is pure. Nothing is said of a stale daemon but that it isn't known how it is.
func stateOf(d web.Daemon, u web.Usage) state {
	s := state{Kind: kindOf(d), Phase: name(d.Phase), Why: plaintext.Line(d.Message, noteRunes), Ready: unknown, Restarts: unknown, Since: notKnown}
	if d.Stale {
		s.Phase, s.Why = "Unknown", "was "+s.Phase+" when its host was last reached"
		return s
	}
	if d.State == spec.Unknown {
		return s
	}
	if c, ok := condition(d, spec.Ready); ok {
		s.Ready = map[spec.ConditionStatus]string{spec.True: "yes", spec.False: "no"}[c.Status]
		if s.Ready = cmp.Or(s.Ready, unknown); c.Status != spec.True {
			s.ReadyWhy = sentence(c)
		}
	}
	s.Restarts, s.Since = nothing, 0
	if in := d.Instance; in != nil {
		s.Restarts = figure.Integer(int64(in.Restarts))
		if in.Exit == nil {
			s.Since = seconds(d.Seen.Add(-in.Up))
		}
	}
	if l := u.Memory.Limit; l != nil && *l != spec.Unbounded {
		s.Limit = figure.Amount(int64(*l))
	}
	return s
}

// settled is s with the start that was shown before, where it can only be a look's rounding that moved it.
func (s state) settled(before state) state {
	if d := s.Since - before.Since; s.Since > 0 && before.Since > 0 && -2 <= d && d <= 2 {
		s.Since = before.Since
	}
	return s
}

func kindOf(d web.Daemon) string {
	switch {
	case d.Stale || d.State == spec.Unknown || d.Word == "Unknown":
		return kindUnknown
	case d.Word == "Failed" || d.Phase == "Failed" || d.Word == "NotFound":
		return kindBad
	case d.Word == "InProgress" || d.Word == "Terminating" || d.Phase == "Restarting":
		return kindBusy
	case d.Word == "Paused" || d.Phase == "Stopped":
		return kindOff
	}
	return kindOK
}

func condition(d web.Daemon, t spec.ConditionType) (c spec.Condition, ok bool) {
	i := slices.IndexFunc(d.Conditions, func(c spec.Condition) bool { return c.Type == t })
	if i < 0 {
		return c, false
	}
	return d.Conditions[i], true
}

func sentence(c spec.Condition) string {
	if c.Message == "" {
		return plaintext.Line(c.Reason, noteRunes)
	}
	return plaintext.Line(c.Reason+": "+c.Message, noteRunes)
}

// noteOf is pure: what is wrong comes first, then what a person may want to know, then how it came to be well.
func noteOf(d web.Daemon) note {
	if d.Stale {
		return note{"not seen since; then it was " + plaintext.Line(d.Phase, noteRunes/2), seconds(d.Seen)}
	}
	ready, judged := condition(d, spec.Ready)
	stalled, _ := condition(d, spec.Stalled)
	reconciling, _ := condition(d, spec.Reconciling)
	of := func(c spec.Condition) note { return note{sentence(c), seconds(c.LastTransitionTime)} }
	say := func(s string) note { return note{plaintext.Line(s, noteRunes), 0} }
	switch {
	case d.State == spec.Unknown && !(judged && ready.Status == spec.ConditionUnknown):
		return say("it can't be found out how it is: " + d.Message)
	case stalled.Status == spec.True:
		return of(stalled)
	case judged && ready.Status != spec.True && (ready.Message != "" || reconciling.Message == ""):
		return of(ready)
	case reconciling.Status == spec.True || reconciling.Status == spec.ConditionUnknown:
		return of(reconciling)
	case d.Foreign != "":
		return say(d.Foreign)
	case len(d.Drift) > 0:
		return say("changed by hand: " + d.Drift[0].Field + " is " + d.Drift[0].Have + ", not " + d.Drift[0].Want)
	case len(d.Lost) > 0:
		return say("not enforced: " + d.Lost[0].Field + ": " + d.Lost[0].Reason)
	case len(d.Fallback) > 0:
		return say("not under " + d.Fallback[0])
	case d.LastExit != nil && !d.LastExit.Asked:
		return note{"started again after: " + plaintext.Line(ending(*d.LastExit), noteRunes), seconds(d.LastExit.At)}
	}
	return of(ready)
}

// figuresOf is pure. What isn't known is shown so, and what doesn't run uses nothing that could be shown.
func figuresOf(d web.Daemon, u web.Usage, ok bool) figures {
	f := figures{CPU: unknown, Memory: unknown, Fill: -1}
	switch {
	case d.Stale || d.State == spec.Unknown:
		return f
	case d.State == spec.Exited || d.State == spec.Absent:
		return figures{nothing, nothing, -1}
	case !ok || u.State != spec.Running:
		return f
	}
	f.CPU, f.Memory = figure.Known(u.Rates.CPU, figure.Percent), figure.Known(u.Memory.Current, figure.Amount[int64])
	if l := u.Memory.Limit; u.Memory.Current != nil && l != nil && *l != spec.Unbounded && *l > 0 {
		f.Fill = int(min(max(float64(*u.Memory.Current)/float64(*l), 0), 1)*20 + 0.5)
	}
	return f
}

// group is what is said of a host.
type group struct {
	Name, Drivers string
	// Trouble is empty for a host that can be reached; Why says more of it.
	Trouble, Why string
	Since        int64
}

func groupOf(h web.Host) group {
	g := group{Name: name(h.Name), Drivers: driverNames(h.Drivers), Since: seconds(h.Since)}
	if !h.Reachable {
		g.Trouble, g.Why = cmp.Or(plaintext.Line(h.Why, noteRunes), "not reached"), message(h.Message)
	}
	return g
}

// clock is a moment for people, in UTC, as times of different hosts stand beside each other.
func clock(t time.Time) string {
	if t.IsZero() {
		return unknown
	}
	return t.UTC().Format("2006-01-02 15:04:05") + " UTC"
}

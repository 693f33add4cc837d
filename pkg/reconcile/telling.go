package reconcile

import (
	"context"
	"fmt"
	"strings"
	"time"

	"reconciler.dev/reconciler/internal/plaintext"
	"reconciler.dev/reconciler/pkg/spec"
)

// warn and note record an event now.
func (e *Engine) warn(name, reason, message string) {
	e.host.Record(spec.Event{At: time.Now(), Name: name, Type: "Warning", Reason: reason, Message: message})
}

func (e *Engine) inform(name, reason, message string) {
	e.host.Record(spec.Event{At: time.Now(), Name: name, Type: "Normal", Reason: reason, Message: message})
}

// story is what an event says of a step that was done: what came of it, and why, where that is news. It is the same each time that the same happens, so that those are counted as one; so
// it has no number of a process in it.
func story(s spec.Step) string {
	what, why := "", s.Reason
	switch s.Verb {
	case spec.VerbStart:
		what = fmt.Sprintf("generation %d under %s", s.Generation, s.Driver)
		if s.Restart {
			what += " again"
		}
		if s.Beside {
			what += ", beside the one before"
		}
	case spec.VerbFiles:
		what = filesOf(s.Want)
	case spec.VerbInstall:
		what = s.Want.Spec.Install.To
	case spec.VerbPause:
		return "it stays stopped until a user starts it again"
	}
	switch {
	case what != "" && (why == notYet || why == wasStopped): // the one is plain, the other was told when it happened
		return what
	case what == "":
		return why
	}
	return what + ": " + why
}

// filesOf names the config files of a daemon.
func filesOf(d *spec.Daemon) string {
	paths := make([]string, len(d.Spec.Files))
	for i, f := range d.Spec.Files {
		paths[i] = f.Path
	}
	return brief(paths)
}

// tellRepaired records which drift the steps of a decision put right.
func (e *Engine) tellRepaired(o spec.Observed, d Decision) {
	if len(o.Drift) == 0 || d.Action != Healed && d.Action != Configured && d.Action != Restarted && d.Action != RolledBack {
		return
	}
	const most = 8
	told := make([]string, 0, most+1)
	for i, drift := range o.Drift {
		if i == most {
			told = append(told, fmt.Sprintf("and %d more", len(o.Drift)-most))
			break
		}
		told = append(told, repaired(drift))
	}
	e.inform(o.Name, "DriftRepaired", strings.Join(told, "; "))
}

// longestValue is how much of a value goes into an event.
const longestValue = 100

// repaired says what a drift was. Of environments it tells no values: what somebody wrote there behind our back may be a secret.
func repaired(d spec.Drift) string {
	switch have, want := valueOf(d.Have), valueOf(d.Want); {
	case strings.Contains(strings.ToLower(d.Field), "env"):
		return d.Field + " is as it was applied again"
	case have == "":
		return fmt.Sprintf("%s was missing, and is %s again", d.Field, want)
	case want == "":
		return fmt.Sprintf("%s was %s, and is gone again", d.Field, have)
	default:
		return fmt.Sprintf("%s was %s, and is %s again", d.Field, have, want)
	}
}

// valueOf is a value as a message has room for it; of a digest, which tells a person nothing, as much as tells two apart.
func valueOf(text string) string {
	const hash, shown = "sha256:", 12
	if digest, is := strings.CutPrefix(text, hash); is && len(digest) == 64 {
		return hash + digest[:shown]
	}
	return plaintext.Line(text, longestValue)
}

// tellBack records that what ran before a change that failed is back.
func (l *loop) tellBack(en *entry, o spec.Observed, d Decision) {
	if d.Action != RolledBack || o.Stamp == nil {
		return
	}
	failed, why := o.Stamp.Generation, en.verdict.why
	switch {
	case en.abandon != "":
		why = en.abandon
	case en.once.cause != nil:
		why = en.once.cause.Error()
	}
	why, _, _ = strings.Cut(why, "\n")
	switch last := d.Steps[len(d.Steps)-1]; {
	case o.Outgoing != nil && last.Verb == spec.VerbAbandon:
		l.inform(en.name, "RolledBack", fmt.Sprintf("generation %d failed, and the instance of generation %d, which ran beside it, goes on: %s", failed, o.Outgoing.Generation, why))
	case en.verdict.back != 0:
		l.inform(en.name, "RolledBack", fmt.Sprintf("generation %d failed, and that of generation %d is back, as generation %d: %s", failed, en.verdict.back, last.Generation, why))
	default:
		l.inform(en.name, "RolledBack", fmt.Sprintf("generation %d failed, and what ran before is back, as generation %d: %s", failed, last.Generation, why))
	}
}

// known is the instance that was there at the last look that somebody told of.
type known struct {
	id       string
	restarts int
	ended    bool // its end was told
}

// knownOf is what is kept of a daemon.
func knownOf(s spec.Status) known {
	switch find(s.Conditions, spec.Ready).Reason {
	case "NotRunning", "CrashLoop", "Completed":
		return known{s.Instance, s.Restarts, true}
	}
	return known{s.Instance, s.Restarts, false}
}

// tellMissed records what happened to a daemon between two looks, and while nobody looked: that its instance ended, and that the platform started it again by itself.
func (l *loop) tellMissed(en *entry, c conclusion) {
	was, in := en.memory.known, c.observed.Instance
	if in == nil || c.unseen || c.observed.State == spec.Unknown {
		return
	}
	en.memory.known = known{in.ID, in.Restarts, en.memory.lastExit == in.ID}
	again := in.Restarts - was.restarts
	if was.id == "" || was.id == in.ID || c.acted || again <= 0 || in.Last == nil || in.Last.Asked {
		return
	}
	if !was.ended && en.memory.lastExit != was.id {
		how := Ending(spec.Observed{Instance: &spec.Instance{Exit: in.Last}})
		if again > 1 {
			how = fmt.Sprintf("it ended %d times since it was looked at last; the last time %s", again, how)
		}
		l.host.Record(spec.Event{At: in.Last.At, Name: en.name, Type: "Warning", Reason: "Exited", Message: how})
	}
	l.host.Record(spec.Event{At: in.StartedAt, Name: en.name, Type: "Normal", Reason: "Started", Message: string(c.observed.Driver) + " started it again by itself"})
}

// recall reads what is kept of a daemon, once.
func (l *loop) recall(ctx context.Context, en *entry) {
	m := en.memory
	if m.told != nil {
		return
	}
	if old, err := l.host.Statuses(ctx, en.name); err == nil {
		s := old[en.name]
		m.told, m.toldOf = s.Conditions, s.Instance
		if m.known.id == "" {
			m.known = knownOf(s)
		}
	}
}

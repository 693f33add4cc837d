package reconcile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"reconciler.dev/reconciler/internal/plaintext"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// prepare finds out what is remembered of changes of the daemon that failed, once for each generation of it, and whether what is applied has yet to prove itself, because
// nobody was there to see it.
func (k *keeping) prepare(ctx context.Context, en *entry, o spec.Observed) {
	if o.Outgoing == nil {
		en.abandon, en.persist = "", false
	}
	if en.want == nil || en.passive || o.Stamp == nil {
		return
	}
	of, held := fmt.Sprintf("%d %s", o.Stamp.Generation, o.Stamp.Digest), heldBack(o, en.want)
	switch {
	case held != "":
		of += " held: " + held
	case en.want.Spec.Update == nil:
		en.verdict = verdict{}
		return
	}
	if en.verdict.of == of {
		return
	}
	v, prior, err := verdict{}, false, error(nil)
	if held != "" {
		v.held = held
		v.instead, err = k.loop.revive(ctx, *o.Stamp)
	} else {
		v, prior, err = k.remember(ctx, en.want, *o.Stamp, en.doomed)
	}
	if err != nil {
		k.loop.report(en.name, "failed", err.Error())
		k.loop.opt.Log.Error(err, "find out what is remembered of changes", "host", k.loop.host.Name(), "name", en.name)
		return // the next look tries again
	}
	v.of, en.verdict = of, v
	if v.why == "" && prior && en.trial == nil && o.Stamp.Digest == en.want.Digest && time.Since(o.Stamp.AppliedAt) < resumed(*en.want.Spec.Update) {
		en.trial = newTrial(*en.want.Spec.Update, en.exits, time.Now())
	}
}

// resumed is how long after a change a run still finds that it has to prove itself, where the one who made it is gone: what is older has been lived with.
func resumed(u spec.Update) time.Duration { return u.ReadyTimeout.D() + u.ReadyFor.D() + 5*time.Minute }

// remember asks the history. unproven says that nobody saw the present revision Ready, and that there is one to go back to.
func (k *keeping) remember(ctx context.Context, want *spec.Daemon, now spec.Stamp, doomed *spec.Revision) (v verdict, unproven bool, err error) {
	past, err := k.loop.host.History(ctx, want.Name)
	if err != nil {
		return v, false, fmt.Errorf("read the history of daemon %s on %s: %w", want.Name, k.loop.host.Name(), err)
	}
	if doomed != nil {
		past = append(past, *doomed)
	}
	unproven = goodBefore(past, now) != nil
	for _, r := range past {
		if r.Generation == now.Generation && r.Digest == now.Digest && r.Ready {
			unproven = false
		}
	}
	back, why := sentence(past, now, want)
	switch u := want.Spec.Update; {
	case why == "" || u.OnFailure == spec.UpdateContinue:
		return verdict{}, unproven, nil
	case u.OnFailure == spec.UpdateStop && now.Digest == want.Digest:
		return verdict{why: why, halt: "its last change failed: " + why}, false, nil
	case back == nil:
		return verdict{why: why}, false, nil
	}
	v.why, v.back = why, back.Generation
	v.instead, err = k.loop.revive(ctx, *back)
	return v, false, err
}

// prove judges a change that has yet to prove itself, and returns when to look again.
func (k *keeping) prove(ctx context.Context, en *entry, c conclusion) time.Duration {
	if c.observed.Stamp == nil || en.verdict.instead != nil {
		return 0
	}
	if k.unstartable(en, c) {
		next := drivers.NewStamp(spec.Step{Want: en.want, Owner: c.observed.Stamp.Owner, Tool: k.loop.opt.Tool, Generation: k.loop.next(ctx, *c.observed.Stamp)}, nil, time.Now())
		return k.doom(ctx, en, *next, c.err)
	}
	k.begin(en, c)
	if why := en.relapsed(c, time.Now()); why != "" {
		if en.probation = nil; k.replaceable(ctx, *c.observed.Stamp) {
			return k.doom(ctx, en, *c.observed.Stamp, k.loop.quoting(ctx, en.name, errors.New(why)))
		}
	}
	if en.trial == nil || c.observed.Stamp.Digest != en.want.Digest {
		return 0
	}
	again, failure, proven := en.trial.judge(c, en.exits, time.Now())
	switch {
	case proven:
		en.release(*c.observed.Stamp, time.Now())
		if err := k.loop.host.Archive(ctx, spec.Revision{Stamp: *c.observed.Stamp, Ready: c.health.Ready}); err != nil {
			k.loop.opt.Log.Error(err, "keep a revision", "host", k.loop.host.Name(), "name", en.name)
		}
		return 0
	case failure == "":
		return again
	}
	why := k.loop.quoting(ctx, en.name, errors.New(failure))
	out, then := c.observed.Outgoing, en.trial.update.OnFailure
	switch {
	case out == nil:
	case then == spec.UpdateContinue:
		en.persist = true
	case then == spec.UpdateStop || out.Generation == c.observed.Stamp.Generation:
		en.abandon = why.Error()
	}
	if out != nil && out.Generation == c.observed.Stamp.Generation {
		en.trial = nil // it was restarted, and what it runs was good before
		k.loop.report(en.name, "update failed", why.Error())
		return time.Nanosecond
	}
	return k.doom(ctx, en, *c.observed.Stamp, why)
}

// begin begins a trial where what was just done brought about a change, or where somebody left two copies.
func (k *keeping) begin(en *entry, c conclusion) {
	u := en.updates(c.observed)
	if u == nil || en.trial != nil || c.err != nil || en.persist || en.abandon != "" {
		return
	}
	changed := c.acted && proves(c.decision.Steps) && (c.decision.Action == Created || c.decision.Action == Configured)
	if changed || c.observed.Outgoing != nil {
		en.trial = newTrial(*u, en.exits, time.Now())
	}
}

// unstartable says that a change came as far as the stop of what ran before, and its own start fails; or that it can't be reloaded.
func (k *keeping) unstartable(en *entry, c conclusion) bool {
	u := en.want.Spec.Update
	if u == nil || u.OnFailure != spec.UpdateRollback || c.err == nil || c.observed.Stamp.Digest == en.want.Digest || !hopeless(c.err) && en.fails+1 < triesOfApply {
		return false
	}
	reloads := slices.ContainsFunc(c.decision.Steps, func(s spec.Step) bool { return s.Verb == spec.VerbReload })
	return reloads || proves(c.decision.Steps) && c.observed.State == spec.Exited
}

// doom gives a revision up, also where that can't be remembered: a full disk keeps nobody from going back.
func (k *keeping) doom(ctx context.Context, en *entry, st spec.Stamp, why error) time.Duration {
	en.doomed = &spec.Revision{Stamp: st, Failed: why.Error()}
	if err := k.loop.reject(ctx, en.name, st, why.Error()); err != nil {
		k.loop.report(en.name, "failed", err.Error())
	}
	en.trial, en.verdict.of = nil, ""
	return time.Nanosecond
}

// reject remembers, durably, that a revision failed, and tells of it.
func (e *Engine) reject(ctx context.Context, name string, st spec.Stamp, why string) error {
	if err := e.host.Archive(ctx, spec.Revision{Stamp: st, Failed: why}); err != nil {
		return fmt.Errorf("remember that revision %d of daemon %s on %s failed (%s): %w", st.Generation, name, e.host.Name(), why, err)
	}
	reason := "UpdateFailed"
	if u := st.Spec.Update; u == nil || u.OnFailure == spec.UpdateRollback {
		reason = "RollingBack"
	}
	e.report(name, "update failed", why)
	e.warn(name, reason, why)
	return nil
}

const (
	// longestQuote is how much of a log line goes into a message, and longestLook how much of a log is read for that, should it be one endless line.
	longestQuote = 300
	longestLook  = 64 << 10
)

// quoting adds the last lines of a daemon's log to what failed.
func (e *Engine) quoting(ctx context.Context, name string, failure error) error {
	var b bytes.Buffer
	if err := e.host.Logs(ctx, name, &b, drivers.LogOptions{Tail: 5, Bytes: longestLook, Later: true}); err != nil || b.Len() == 0 {
		return failure
	}
	var last strings.Builder
	for line := range strings.Lines(b.String()) {
		last.WriteString("\n  | " + plaintext.Line(line, longestQuote)) // it ends on a terminal
	}
	return fmt.Errorf("%w\nits last log lines:%s", failure, last.String())
}

// archive keeps a revision that came to be.
func (k *keeping) archive(ctx context.Context, c conclusion) {
	st := c.observed.Stamp
	if n := len(c.decision.Steps); n > 0 && c.decision.Steps[n-1].Verb == spec.VerbAbandon {
		return // what goes on is kept as it was
	}
	if st == nil || !c.acted || c.err != nil || c.decision.Action != Created && c.decision.Action != Configured && c.decision.Action != RolledBack {
		return
	}
	if err := k.loop.host.Archive(ctx, spec.Revision{Stamp: *st}); err != nil {
		k.loop.opt.Log.Error(err, "keep a revision", "host", k.loop.host.Name(), "name", st.Name)
	}
}

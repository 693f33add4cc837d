package reconcile

import (
	"context"
	"fmt"
	"time"

	"reconciler.dev/reconciler/pkg/spec"
)

// updates is what the manifest says of how a changed daemon takes its place; nil where it says nothing, and two copies of it don't run.
func (en *entry) updates(o spec.Observed) *spec.Update {
	switch {
	case en.want == nil:
		return nil
	case en.want.Spec.Update == nil && o.Outgoing != nil:
		return &spec.Update{ReadyTimeout: spec.Duration(DefaultTimeout), OnFailure: spec.UpdateRollback}
	}
	return en.want.Spec.Update
}

// fail settles an entry that didn't arrive, turns it back to its previous revision, or has it stopped. o is what was found last.
func (p *applying) fail(ctx context.Context, en *entry, o spec.Observed, failure error) time.Duration {
	if en.want != nil && en.once.began && o.Stamp != nil && o.Stamp.Digest == en.want.Digest { // else it is another one's log
		failure = p.loop.quoting(ctx, en.name, failure)
	}
	item := &en.once.item
	if en.once.cause != nil {
		item.Action, item.Err = Failed, fmt.Errorf("%w\nand the previous revision could not be put back: %w", en.once.cause, failure)
		p.finish(ctx, en)
		return 0
	}
	then := p.onFailure(en, o)
	restarted := o.Outgoing != nil && o.Stamp != nil && o.Outgoing.Generation == o.Stamp.Generation
	if (en.updates(o) != nil || then == spec.UpdateRollback) && !restarted && o.Stamp != nil && o.Stamp.Digest == en.want.Digest {
		if err := p.loop.reject(ctx, en.name, *o.Stamp, failure.Error()); err != nil {
			failure = fmt.Errorf("%w\n%w", failure, err) // a full disk keeps nobody from going back
		}
	}
	prev := en.once.first.Observed.Stamp
	switch {
	case o.Outgoing != nil && then == spec.UpdateContinue:
		en.persist = true
		return p.turn(en, failure, en.want, "")
	case o.Outgoing != nil && (restarted || then == spec.UpdateStop || len(en.once.first.Changes) == 0):
		en.abandon = "its change failed"
		return p.turn(en, failure, en.want, "")
	case then == spec.UpdateStop:
		return p.turn(en, failure, en.want, "its change failed")
	case then == spec.UpdateContinue || prev == nil || len(en.once.first.Changes) == 0:
		item.Action, item.Err = Failed, failure
		p.finish(ctx, en)
		return 0
	}
	back, err := p.loop.revive(ctx, *prev)
	if err != nil {
		item.Action, item.Err = Failed, fmt.Errorf("%w\nand the previous revision can't be put back: %w", failure, err)
		p.finish(ctx, en)
		return 0
	}
	en.verdict.back = prev.Generation
	p.loop.report(en.name, "roll back", "")
	return p.turn(en, failure, back, "")
}

// onFailure is what becomes of an entry whose steps came to nothing.
func (p *applying) onFailure(en *entry, o spec.Observed) spec.UpdateFailure {
	u := en.updates(o)
	switch {
	case !en.once.began && o.Outgoing == nil:
		return spec.UpdateContinue
	case u != nil:
		return u.OnFailure
	case p.opt.Rollback:
		return spec.UpdateRollback
	}
	return spec.UpdateContinue
}

// turn has the entry brought to another end, because of failure.
func (p *applying) turn(en *entry, failure error, want *spec.Daemon, halt string) time.Duration {
	en.want, en.fails, en.exits, en.trial, en.restartOf = want, 0, 0, nil, ""
	en.verdict.halt = halt
	en.once.cause, en.once.deadline = failure, time.Now().Add(p.opt.Timeout)
	return time.Nanosecond
}

// turned says what became of an entry that was brought to another end.
func (p *applying) turned(en *entry) (Action, error) {
	switch {
	case en.persist:
		return Failed, en.once.cause
	case en.abandon != "":
		return RolledBack, fmt.Errorf("%w\nthe instance before it goes on", en.once.cause)
	case en.verdict.halt != "":
		return Failed, fmt.Errorf("%w\nit was stopped, as spec.update.onFailure says", en.once.cause)
	}
	before := en.once.first.Observed
	if instanceID(before) != "" && instanceID(before) == instanceID(en.once.item.Observed) {
		return RolledBack, fmt.Errorf("%w\ngeneration %d runs on, and is Ready", en.once.cause, before.Stamp.Generation)
	}
	return RolledBack, fmt.Errorf("%w\ngeneration %d was put back and is Ready", en.once.cause, before.Stamp.Generation)
}

// prepare: a person who applies a change knows of those that failed before.
func (p *applying) prepare(context.Context, *entry, spec.Observed) {}

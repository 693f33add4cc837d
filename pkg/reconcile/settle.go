package reconcile

import (
	"errors"
	"fmt"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// settle says whether the entry has arrived, can't arrive, or when to look again.
func (p *applying) settle(en *entry, c conclusion) (again time.Duration, failure error, done bool) {
	d, o := c.decision, c.observed
	switch {
	case c.err != nil && hopeless(c.err), d.Err != nil:
		return 0, errors.Join(c.err, d.Err), false
	case c.err != nil:
		en.fails++
		if en.fails >= triesOfApply {
			return 0, c.err, false
		}
		return RetryDelay(en.name, en.fails), nil, false
	case d.Action == Frozen:
		return 0, fmt.Errorf("daemon %s on %s: %s: %w", en.name, p.loop.host.Name(), d.Reason, drivers.ErrUnreachable), false
	case en.want == nil:
		return d.LookAgain, nil, c.acted || o.State == spec.Absent
	case en.persist, en.abandon != "":
		return 0, nil, o.Outgoing == nil
	case en.verdict.halt != "":
		return 0, nil, o.State != spec.Running
	case en.trial != nil:
		again, why, proven := en.trial.judge(c, en.exits, time.Now())
		if why != "" {
			failure = fmt.Errorf("daemon %s on %s: %s", en.name, p.loop.host.Name(), why)
		}
		return sooner(again, d.LookAgain), failure, proven
	case d.Action == Waiting:
		if why := p.hopelessDependency(en); why != "" {
			return 0, fmt.Errorf("daemon %s: %s", en.name, why), false
		}
		return d.LookAgain, p.crashing(en, o), false
	case d.Action == Paused, !p.waits(en):
		return 0, nil, true
	case o.State == spec.Running:
		return 0, nil, c.health.Ready
	case d.Action == Unchanged && !failed(o):
		return 0, nil, true // it has done its work, and its policy leaves it at that
	case d.Action == Unchanged:
		return 0, p.broken(en, o), false
	}
	return 0, p.crashing(en, o), false
}

// sooner is the shorter of two waits; zero is none.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// triesOfApply is how often an apply tries a step that failed.
const triesOfApply = 3

// endsOfApply is how many ends before Ready an apply takes for an answer.
const endsOfApply = 3

// crashing gives up on a daemon that ended too often before it was Ready.
func (p *applying) crashing(en *entry, o spec.Observed) error {
	if en.exits < endsOfApply {
		return nil
	}
	return p.broken(en, o)
}

func (p *applying) broken(en *entry, o spec.Observed) error {
	return fmt.Errorf("daemon %s on %s doesn't stay up: %s%s", en.name, p.loop.host.Name(), Ending(o), inBackground(o))
}

// hopelessDependency says that a dependency has failed for good.
func (p *applying) hopelessDependency(en *entry) string {
	p.loop.mu.Lock()
	defer p.loop.mu.Unlock()
	if en.want == nil {
		return ""
	}
	for _, d := range en.want.Spec.DependsOn {
		if dep := p.loop.entries[d.Name]; dep != nil && dep.over && !dep.ready && dep.once.item.Err != nil {
			return "not started, because " + d.Name + ", which it depends on, failed"
		}
	}
	return ""
}

// pending says what an entry still waits for.
func (p *applying) pending(c conclusion) string {
	if c.decision.Action == Waiting && c.err == nil {
		return c.decision.Reason
	}
	return lacking(c)
}

// inBackground is what to try with a daemon that looks like one that puts itself into the background: systemd ends what it left there, unless it is told.
func inBackground(o spec.Observed) string {
	if o.Driver != spec.DriverSystemd || o.Stamp == nil || o.Stamp.Spec.Type == spec.TypeForking || o.Instance == nil || o.Instance.Exit == nil {
		return ""
	}
	if e := o.Instance.Exit; !e.Known || e.Code != 0 || e.Signal != "" {
		return ""
	}
	return "; if it puts itself into the background, have it stay in the foreground, or say type: forking"
}

package reconcile

import (
	"context"
	"time"

	"reconciler.dev/reconciler/pkg/spec"
)

// tell keeps the daemon's conditions where others find them, and records an event where its readiness changed.
func (l *loop) tell(ctx context.Context, en *entry, c conclusion) {
	now := time.Now()
	l.recall(ctx, en)
	l.tellMissed(en, c)
	merged, changed := Merge(en.memory.told, remembering(en.memory, c), now)
	if !changed {
		return
	}
	before, after := find(en.memory.told, spec.Ready), find(merged, spec.Ready)
	en.memory.told, en.memory.toldOf = merged, instanceID(c.observed)
	if c.observed.State == spec.Absent && en.want == nil {
		return
	}
	st := spec.Status{Name: en.name, Conditions: merged, Instance: instanceID(c.observed), Holder: l.opt.Owner.Holder, At: now}
	if in := c.observed.Instance; in != nil {
		st.Restarts = in.Restarts
	}
	if err := l.host.SetStatus(ctx, st); err != nil {
		l.opt.Log.Error(err, "keep the status", "host", l.host.Name(), "name", en.name)
	}
	if before.Status == after.Status && before.Reason == after.Reason {
		return
	}
	switch after.Reason {
	case "Healthy":
		l.inform(en.name, "Ready", "")
		l.report(en.name, "ready", "")
	case "Unhealthy":
		l.warn(en.name, "Unhealthy", after.Message)
		l.report(en.name, "unhealthy", after.Message)
	}
}

// show tells the audience what a look came to, as long as the daemon is the run's business.
func (k *keeping) show(en *entry, c conclusion) {
	l := k.loop
	if k.opt.Audience == nil {
		return
	}
	v := View{Observed: c.observed, Conditions: en.memory.told, Holder: l.opt.Owner.Holder}
	if st := c.observed.Stamp; st != nil {
		v.Fallback = l.fallback(st.Spec, c.observed.Driver)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := l.entries[en.name]; now != nil && !now.passive {
		k.opt.Audience.Seen(v)
	}
}

// letGo tells the audience that a daemon isn't the run's business any more; the caller holds loop.mu.
func (k *keeping) letGo(name string) {
	if k.opt.Audience != nil {
		k.opt.Audience.LetGo(name)
	}
}

// remembering judges what a look came to. That an instance is Ready, which somebody found before us, stands until a check of our own says otherwise.
func remembering(m *memory, c conclusion) []spec.Condition {
	h, o := c.health, c.observed
	if !h.Known && o.State == spec.Running && m.toldOf == instanceID(o) && find(m.told, spec.Ready).Status == spec.True {
		h = Health{Known: true, Ready: true}
	}
	return Judge(c.decision, o, h, c.err)
}

func find(cs []spec.Condition, t spec.ConditionType) spec.Condition {
	for _, c := range cs {
		if c.Type == t {
			return c
		}
	}
	return spec.Condition{Type: t, Status: spec.ConditionUnknown}
}

// note keeps the conditions of an entry that an apply waits for; of the others it can't tell enough.
func (p *applying) note(ctx context.Context, en *entry, c conclusion) {
	if p.waits(en) {
		p.loop.tell(ctx, en, c)
	}
}

// archive keeps the revisions that came to be, several at once, for each costs a flush of the disk.
func (p *applying) archive(ctx context.Context) error {
	var came []spec.Revision
	for _, en := range p.loop.entries {
		item := en.once.item
		if st := item.Observed.Stamp; st != nil && en.once.began && en.want != nil {
			came = append(came, spec.Revision{Stamp: *st, Ready: p.waits(en) && (item.Err == nil || item.Action == RolledBack)})
		}
	}
	return inParallel(16, came, func(r spec.Revision) error { return p.loop.host.Archive(ctx, r) })
}

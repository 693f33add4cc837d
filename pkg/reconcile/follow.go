package reconcile

import (
	"slices"

	"reconciler.dev/reconciler/pkg/spec"
)

// lastUser says why an entry that shall go has to wait; the caller holds l.mu.
func (l *loop) lastUser(en *entry) string {
	for name, other := range l.entries {
		switch {
		case other.unproven:
			return "waits until " + name + " is Ready, before anything is removed"
		case other.want == nil && other.up && slices.Contains(other.uses, en.name):
			return "waits until " + name + ", which depends on it, is gone"
		}
	}
	return ""
}

// unmet says which dependency isn't met; the caller holds l.mu.
func (l *loop) unmet(en *entry) string {
	for _, d := range en.want.Spec.DependsOn {
		dep := l.entries[d.Name]
		switch {
		case dep == nil:
			return "waits for " + d.Name + ", which nobody declares"
		case d.Condition == spec.DependencyStarted && !dep.up:
			return "waits for " + d.Name + " to be started"
		case d.Condition != spec.DependencyStarted && !dep.ready:
			return "waits for " + d.Name + " to be Ready"
		}
	}
	return ""
}

// follow keeps the probes of a daemon in step with what runs, and wakes its dependents.
func (l *loop) follow(en *entry, c *conclusion) {
	o := c.observed
	running := o.State == spec.Running && o.Instance != nil
	if running && l.policy.needsHealth(en) {
		l.prober.Follow(en.name, checkOf(en, o), o.Instance.ID, o.Instance.Up)
		c.health = l.health(en.name, o)
	} else if !running {
		l.prober.Forget(en.name)
	}
	l.mu.Lock()
	up, ready := running, running && c.health.Ready
	proven := en.unproven && (ready || c.decision.Action == Paused || o.State == spec.Exited && c.decision.Action == Unchanged && !failed(o))
	var wake []string
	if up != en.up || ready != en.ready {
		wake = l.dependents[en.name]
	}
	switch {
	case proven:
		wake = append(slices.Clone(wake), l.going()...)
	case en.want == nil && up != en.up:
		wake = append(slices.Clone(wake), en.uses...)
	}
	en.up, en.ready, en.unproven = up, ready, en.unproven && !proven
	l.mu.Unlock()
	for _, name := range wake {
		l.queue.Add(name)
	}
}

// going lists the entries that shall go; the caller holds l.mu.
func (l *loop) going() []string {
	var names []string
	for name, en := range l.entries {
		if en.want == nil && !en.passive {
			names = append(names, name)
		}
	}
	return names
}

// checkOf is the check of an entry: the wanted one's, or what was applied where it is only looked at.
func checkOf(en *entry, o spec.Observed) *spec.Health {
	switch {
	case en.want != nil:
		return checkIn(&en.wanted().Spec, o)
	case o.Stamp != nil:
		return checkIn(&o.Stamp.Spec, o)
	}
	return nil
}

// checkIn is the check of the copy of a daemon that was observed.
func checkIn(s *spec.Spec, o spec.Observed) *spec.Health {
	if s.Slots() {
		return s.Health.InSlot(o.Slot)
	}
	return s.Health
}

package reconcile

// pass is a look at everything that somebody asked for, until it has come to an end.
type pass struct {
	daemons int
	missing map[string]bool
	done    func(daemons int)
}

// pass makes every daemon due, and has done called once each was looked at and what came of that was dealt with.
func (k *keeping) pass(done func(daemons int)) {
	l := k.loop
	l.mu.Lock()
	p := &pass{daemons: len(l.entries), missing: make(map[string]bool, len(l.entries)), done: done}
	for name := range l.entries {
		p.missing[name] = true
	}
	if p.daemons > 0 {
		l.passes = append(l.passes, p)
	}
	l.mu.Unlock()
	if p.daemons == 0 {
		done(0)
		return
	}
	k.all()
}

// underWay are the passes that a look which begins now counts for.
func (l *loop) underWay() []*pass {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]*pass(nil), l.passes...)
}

// passed counts a daemon for the passes that were under way when the look at it began.
func (l *loop) passed(name string, passes []*pass) {
	var over []*pass
	l.mu.Lock()
	for _, p := range passes {
		if p.missing[name] {
			if delete(p.missing, name); len(p.missing) == 0 {
				over = append(over, p)
			}
		}
	}
	for i := 0; i < len(l.passes); {
		if len(l.passes[i].missing) == 0 {
			l.passes = append(l.passes[:i], l.passes[i+1:]...)
		} else {
			i++
		}
	}
	l.mu.Unlock()
	for _, p := range over {
		p.done(p.daemons)
	}
}

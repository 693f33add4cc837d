package reconcile

import (
	"cmp"
	"slices"
	"sync"
)

// Ledger is the prune guard of runs on several hosts of one set: it sums up what is to go on all of them, and lets nothing go before it knows. A host that can't be
// reached isn't waited for, and counts for nothing until it is back. Its methods may be called concurrently.
type Ledger struct {
	set   string
	guard int
	again func(host string)

	mu       sync.Mutex
	turn     int
	declared int
	hosts    map[string]*account
}

// account is what is known of one host since the manifests changed last.
type account struct {
	share    Share
	known    bool // share is
	away     bool
	awaiting bool // it asked, and was told that it isn't known yet
}

// NewLedger returns a ledger that knows of no hosts. again is called, by whoever calls a method, with each host that shall ask again; it
// must not block.
func NewLedger(set string, guard int, again func(host string)) *Ledger {
	return &Ledger{set: set, guard: guard, again: again, hosts: map[string]*account{}}
}

// Begin says that the manifests changed: they declare so many daemons now, and these hosts will ask. All of them are told to.
func (l *Ledger) Begin(declared int, hosts []string) {
	l.mu.Lock()
	before := l.hosts
	l.turn, l.declared, l.hosts = l.turn+1, declared, make(map[string]*account, len(hosts))
	for _, h := range hosts {
		l.hosts[h] = &account{away: before[h] != nil && before[h].away}
	}
	l.mu.Unlock()
	for _, h := range hosts {
		l.again(h)
	}
}

// Turn is how often the manifests changed. Who asks tells the turn from before it loaded them.
func (l *Ledger) Turn() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.turn
}

// Ask is RunOptions.Permit for one host.
func (l *Ledger) Ask(host string, turn int, s Share) (ok bool, objection error) {
	l.mu.Lock()
	a := l.hosts[host]
	if a == nil || turn != l.turn {
		l.mu.Unlock()
		return len(s.Going) == 0, nil // it will ask again
	}
	a.away, a.awaiting = false, false
	if !a.known || len(s.Going) > len(a.share.Going) {
		a.share, a.known = s, true
	}
	switch {
	case len(s.Going) == 0:
		ok = true
	case !l.complete():
		a.awaiting = true
	default:
		objection = l.objection()
		ok = objection == nil
	}
	l.wake()
	return ok, objection
}

// Away says that a host can't be reached.
func (l *Ledger) Away(host string) {
	l.mu.Lock()
	if a := l.hosts[host]; a != nil {
		*a = account{away: true}
	}
	l.wake()
}

// wake tells those who wait to ask again, once all is known. It unlocks l.mu.
func (l *Ledger) wake() {
	var waiting []string
	if l.complete() {
		for host, a := range l.hosts {
			if a.awaiting {
				a.awaiting = false
				waiting = append(waiting, host)
			}
		}
	}
	l.mu.Unlock()
	for _, host := range waiting {
		l.again(host)
	}
}

// complete says whether every host that can be reached has asked; the caller holds l.mu.
func (l *Ledger) complete() bool {
	for _, a := range l.hosts {
		if !a.known && !a.away {
			return false
		}
	}
	return true
}

// objection is the guard's to all that is known; the caller holds l.mu.
func (l *Ledger) objection() error {
	var shares []Share
	for host, a := range l.hosts {
		if s := a.share; a.known {
			if s.Host = ""; len(l.hosts) > 1 {
				s.Host = cmp.Or(host, "localhost")
			}
			shares = append(shares, s)
		}
	}
	slices.SortFunc(shares, func(a, b Share) int { return cmp.Compare(a.Host, b.Host) })
	return Guard(l.set, shares, l.declared, l.guard)
}

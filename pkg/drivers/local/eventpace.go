package local

import (
	"maps"
	"slices"
	"time"

	"reconciler.dev/reconciler/pkg/spec"
)

const (
	// paceBurst is how many events of a daemon are written as they come, and paceEvery how long it takes until one more is.
	paceBurst = 60
	paceEvery = time.Second
	// paceAgain is how long after it had to wait an event is tried again.
	paceAgain = 100 * time.Millisecond
	// mostPaced and mostWaiting bound what is remembered: daemons, and events that wait. mostApart is how many of one daemon's wait each for itself.
	mostPaced   = 4 << 10
	mostWaiting = 8 << 10
	mostApart   = 16
)

// pace is the speed at which events are written: those of one daemon come in a burst, or one a second. The others wait, and what is alike among them is counted. It does no I/O; its
// methods must not be called concurrently.
type pace struct {
	of      map[object]*allowance
	waiting map[object]map[happening]int // where in kept
	kept    []spec.Event
}

// allowance is a token bucket.
type allowance struct {
	left int
	at   time.Time // when left was so
}

func newPace() pace {
	return pace{of: map[object]*allowance{}, waiting: map[object]map[happening]int{}}
}

// take says whether an event may be written now. Behind others of its daemon that wait it may not, so that they stay in order.
func (p *pace) take(e spec.Event, now time.Time) bool {
	return len(p.waiting[objectOf(e)]) == 0 && p.spend(objectOf(e), now)
}

func (p *pace) spend(o object, now time.Time) bool {
	a := p.of[o]
	if a == nil {
		if len(p.of) >= mostPaced {
			maps.DeleteFunc(p.of, func(_ object, a *allowance) bool { return now.Sub(a.at) > paceBurst*paceEvery })
		}
		if len(p.of) >= mostPaced {
			clear(p.of)
		}
		a = &allowance{left: paceBurst, at: now}
		p.of[o] = a
	}
	if more := int(now.Sub(a.at) / paceEvery); more > 0 {
		a.left, a.at = min(a.left+more, paceBurst), a.at.Add(time.Duration(more)*paceEvery)
	} else if more < 0 {
		a.at = now // somebody set the clock back
	}
	if a.left == 0 {
		return false
	}
	a.left--
	return true
}

// keep has an event wait. Of several that say the same there is one that tells how many they were; where a daemon has many that differ, those with the same reason are one, which says what
// the last of them said.
func (p *pace) keep(e spec.Event) {
	of := p.waiting[objectOf(e)]
	if of == nil {
		of = map[happening]int{}
		p.waiting[objectOf(e)] = of
	}
	k := happeningOf(e)
	i, again := of[k]
	if !again && len(of) >= mostApart {
		k.message = ""
		i, again = of[k]
	}
	switch {
	case again:
		first := p.kept[i]
		e.Count, e.First = max(first.Count, 1)+max(e.Count, 1), first.First
		if e.First.IsZero() {
			e.First = first.At
		}
		p.kept[i] = e
	case len(p.kept) < mostWaiting:
		of[k] = len(p.kept)
		p.kept = append(p.kept, e)
	}
}

func (p *pace) waits() bool { return len(p.kept) > 0 }

// due takes out what may be written now.
func (p *pace) due(now time.Time) (due []spec.Event) {
	for _, e := range p.all() {
		if p.spend(objectOf(e), now) {
			due = append(due, e)
		} else {
			p.keep(e)
		}
	}
	return due
}

// all takes out everything.
func (p *pace) all() []spec.Event {
	all := slices.Clip(p.kept)
	p.kept = nil
	clear(p.waiting)
	return all
}

package web

import (
	"math"
	"time"

	"reconciler.dev/reconciler/pkg/spec"
)

// past is the last hour of a host's daemons, in a ring: about three kilobytes a daemon. Its zero value is empty.
type past struct {
	at      [PastPoints]time.Time
	next    int
	daemons map[string]*pastOne
}

// pastOne is one daemon's; NaN where it isn't known.
type pastOne struct {
	cpu    [PastPoints]float32
	memory [PastPoints]float64
	known  time.Time // when something was known of it last
}

func newPastOne() *pastOne {
	p := new(pastOne)
	for i := range PastPoints {
		p.cpu[i], p.memory[i] = float32(math.NaN()), math.NaN()
	}
	return p
}

// add adds what was used at a moment, and how fast since the moment before. Daemons of which nothing was known for as long as the ring is are forgotten.
func (p *past) add(at time.Time, before, now map[string]*Usage) {
	if p.daemons == nil {
		p.daemons = map[string]*pastOne{}
	}
	for name := range now {
		if p.daemons[name] == nil {
			p.daemons[name] = newPastOne()
		}
	}
	for name, one := range p.daemons {
		one.cpu[p.next], one.memory[p.next] = float32(math.NaN()), math.NaN()
		u := now[name]
		if u == nil {
			if at.Sub(one.known) > PastPoints*PastEvery {
				delete(p.daemons, name)
			}
			continue
		}
		one.known = at
		if m := u.Memory.Current; m != nil {
			one.memory[p.next] = float64(*m)
		}
		if b := before[name]; b != nil {
			if share := spec.Rates(b.Sample, u.Sample).CPU; share != nil {
				one.cpu[p.next] = float32(*share)
			}
		}
	}
	p.at[p.next] = at
	p.next = (p.next + 1) % PastPoints
}

// of are the points of a daemon that aren't older than since, oldest first.
func (p *past) of(name string, since time.Time) (points []Point) {
	one := p.daemons[name]
	if one == nil {
		return nil
	}
	for n := range PastPoints {
		i := (p.next + n) % PastPoints
		if p.at[i].IsZero() || p.at[i].Before(since) {
			continue
		}
		point := Point{At: p.at[i]}
		if c := float64(one.cpu[i]); !math.IsNaN(c) {
			point.CPU = &c
		}
		if m := one.memory[i]; !math.IsNaN(m) {
			n := int64(m)
			point.Memory = &n
		}
		points = append(points, point)
	}
	return points
}

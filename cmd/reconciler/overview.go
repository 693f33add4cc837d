package main

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"reconciler.dev/reconciler/internal/web"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/spec"
)

// overview is what a run shows to those who only look: a web.View, which the hosts that are kept fill in. A nil one takes what it is told and costs nothing. Its methods may be called concurrently.
type overview struct {
	web.Board
	web.Sampler
	loop     web.Loop
	listener net.Listener
	address  web.Address
	guard    *web.Guard

	mu     sync.Mutex
	loaded bool                  // the manifests are, so all hosts are known
	links  map[string]*shownLink // by host
	passed map[string]bool       // hosts on which every daemon was looked at once
}

// shownLink is a host that can be asked now.
type shownLink struct {
	at string
	*session
	wants func() []*spec.Daemon
}

// begin tells of a host that is kept from now on.
func (v *overview) begin(at string) {
	if v == nil {
		return
	}
	if _, there := v.Host(hostWord(at)); !there {
		v.Put(web.Host{Name: hostWord(at), Why: web.NotReachedYet, Since: time.Now()})
	}
}

// known tells that all hosts have begun.
func (v *overview) known() {
	if v != nil {
		v.mu.Lock()
		v.loaded = true
		v.mu.Unlock()
	}
}

// end tells of a host that isn't kept any more.
func (v *overview) end(at string) {
	if v == nil {
		return
	}
	v.mu.Lock()
	delete(v.passed, hostWord(at))
	v.mu.Unlock()
	v.Drop(hostWord(at))
	v.Sampler.Forget(hostWord(at))
}

// trouble tells why a host isn't kept now.
func (v *overview) trouble(at string, why trouble, err error) {
	if v == nil {
		return
	}
	h, _ := v.Host(hostWord(at))
	word := string(why)
	switch why {
	case refusing:
		word = string(unreachable)
	case stale:
		word = string(taken)
	}
	if h.Reachable && word == string(unreachable) {
		h.Lost++
	}
	if h.Reachable || h.Why != word {
		h.Since = time.Now()
	}
	h.Name, h.Reachable, h.Why, h.Message = hostWord(at), false, word, err.Error()
	v.Put(h)
}

// reached tells that the daemons of a host are kept now.
func (v *overview) reached(at string, s *session) {
	if v == nil {
		return
	}
	h, _ := v.Host(hostWord(at))
	h.Name, h.Reachable, h.Why, h.Message, h.Address, h.Since = hostWord(at), true, "", "", s.address, time.Now()
	h.Drivers = nil
	for _, d := range s.host.Drivers() {
		h.Drivers = append(h.Drivers, d.Kind())
	}
	v.Put(h)
}

// reach makes a host one that can be asked, until stop is called, and returns who is to be told of its daemons.
func (v *overview) reach(ctx context.Context, at string, s *session, p *part) (audience reconcile.Audience, stop func()) {
	if v == nil {
		return nil, func() {}
	}
	host := hostWord(at)
	l := &shownLink{at: at, session: s, wants: func() []*spec.Daemon {
		if all := p.wants.Load(); all != nil {
			return *all
		}
		return nil
	}}
	v.mu.Lock()
	v.links[host] = l
	v.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	var reading sync.WaitGroup
	reading.Go(func() {
		v.Keep(ctx, host, func(ctx context.Context, age time.Duration) ([]spec.Sample, error) {
			return s.host.Stats(ctx, drivers.StatsQuery{MaxAge: age})
		})
	})
	return spectator{v, host}, func() {
		v.mu.Lock()
		delete(v.links, host)
		v.mu.Unlock()
		cancel()
		reading.Wait()
	}
}

// passedOf returns what is called once every daemon of a host was looked at.
func (v *overview) passedOf(at string) func() {
	if v == nil {
		return nil
	}
	return func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.passed[hostWord(at)] = true
	}
}

// spectator takes the looks at the daemons of one host to the board.
type spectator struct {
	*overview
	host string
}

// Seen puts a look on the board.
func (s spectator) Seen(v reconcile.View) {
	o := v.Observed
	if o.Stamp != nil {
		st := *o.Stamp
		st.Spec = public(st.Spec)
		if st.Slot != nil {
			st.Slot = &spec.Slotted{Turn: st.Slot.Turn, Spec: public(st.Slot.Spec)}
		}
		o.Stamp = &st
	}
	d := web.Daemon{Host: s.host, Observed: o, Phase: phase(o), Word: string(reconcile.Summary(o, v.Conditions)), Conditions: v.Conditions, Seen: time.Now()}
	if in := o.Instance; in != nil {
		if d.LastExit = in.Exit; d.LastExit == nil {
			d.LastExit = in.Last
		}
	}
	for _, u := range v.Fallback {
		d.Fallback = append(d.Fallback, u.Error())
	}
	s.See(d)
}

// LetGo takes a daemon off the board.
func (s spectator) LetGo(name string) { s.overview.Board.Forget(s.host, name) }

// meter counts what all engines do; nil where nobody can look.
func (v *overview) meter() reconcile.Meter {
	if v == nil {
		return nil
	}
	return meterOf{&v.loop}
}

type meterOf struct{ loop *web.Loop }

// Looked counts a look.
func (m meterOf) Looked(daemons int, took time.Duration, err error) {
	m.loop.Looked(daemons, took, err == nil)
}

// Stepped counts a step.
func (m meterOf) Stepped(verb spec.Verb, took time.Duration, err error) {
	outcome := web.Done
	switch {
	case errors.Is(err, drivers.ErrMoved):
		outcome = web.Moved
	case err != nil:
		outcome = web.Failed
	}
	m.loop.Stepped(string(verb), outcome, took)
}

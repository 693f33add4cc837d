package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/programs"
	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/spec"
)

// trouble is why a host isn't kept.
type trouble string

const (
	noTrouble   trouble = ""
	unreachable trouble = "unreachable"
	refusing    trouble = "unreachable until somebody mends it" // trying again alone can't help
	taken       trouble = "held"                                // by another run
	stale       trouble = "held by a link that was lost"        // by this run itself, where the host hasn't noticed yet
	failing     trouble = "failed"
)

// care keeps one host until ctx ends, and connects again, ever more seldom, whenever it can't. What keeps this machine isn't tried again: its failure ends the run.
func (k *keeper) care(ctx context.Context, h *keptHost) {
	for {
		why, err := k.once(ctx, h)
		k.settled(h.at)
		switch {
		case ctx.Err() != nil:
			return
		case h.at == "":
			k.fail(err)
			return
		}
		k.shown.trouble(h.at, why, err)
		k.ledger.Away(h.at)
		h.failures++
		h.tell(k, why, err)
		tries := h.failures
		if why == stale {
			tries = min(tries, 4) // it will be free within seconds
		}
		pause(ctx, reconcile.RetryDelay(h.at, tries))
	}
}

// staleTries is how often a host may be stale in a row before that is told: for about a minute, in which every agent that a link lost has noticed.
const staleTries = 40

// tell tells a trouble, once.
func (h *keptHost) tell(k *keeper, why trouble, err error) {
	if p, ok := h.news(why, err); ok {
		h.told = why
		k.say(h.at, p)
		k.c.recordHost(h.at, "Warning", why.event(), p.Message)
	}
}

// event is the reason of the event that tells of a trouble.
func (t trouble) event() string {
	if t == unreachable || t == refusing {
		return "HostUnreachable"
	}
	return "HostNotKept"
}

// news is what is to be told of a trouble, if anything.
func (h *keptHost) news(why trouble, err error) (reconcile.Progress, bool) {
	p := reconcile.Progress{Phase: string(why), Message: err.Error()}
	switch why {
	case h.told:
		return p, false
	case stale:
		p.Phase = string(taken)
		p.Message += "; that is this run itself: where the machine has two names, write one of them in all manifests, and declare one Host"
		return p, h.failures >= staleTries
	case refusing:
		p.Phase = string(unreachable)
	}
	return p, true
}

// reached is what a host knows, and does, for its manifests; nothing of this machine, which is asked already.
func (k *keeper) reached(s *session) reconcile.Reached {
	if s.lookPath == nil {
		return reconcile.Reached{}
	}
	return reconcile.Reached{LookPath: s.lookPath, ProgramDir: s.facts.Programs, Program: func(ctx context.Context, _ string, m *spec.Manifest, dir string) (*spec.Program, error) {
		return k.maker.Begin(programs.Make).There(ctx, s.host, m, dir)
	}}
}

// once connects to a host and keeps it until ctx ends or the link is lost.
func (k *keeper) once(ctx context.Context, h *keptHost) (trouble, error) {
	s, err := k.dial(ctx, h)
	if err != nil {
		return troubleOf(err), err
	}
	defer s.close()
	if err := s.prepare(); err != nil {
		return failing, err
	}
	if h.failures == 0 {
		k.tellFallback(h.at, s.host)
	}
	part := &part{Source: k.src.For(h.at, k.reached(s)), turn: k.ledger.Turn, ask: h.ask}
	link := &keptLink{looks: make(chan func(int)), lost: make(chan struct{})}
	defer k.lose(h, link)
	audience, stop := k.shown.reach(ctx, h.at, s, part)
	defer stop()
	err = s.Run(ctx, part, reconcile.RunOptions{
		Prune: k.p.pruneOptions(), Resync: k.resync, Holder: k.holder, Loaded: func() { k.loaded(h, link); k.shown.reached(h.at, s) }, Looks: link.looks,
		Passed: k.shown.passedOf(h.at), Audience: audience,
		Permit: func(share reconcile.Share) (bool, error) { return k.ledger.Ask(h.at, int(part.asked.Load()), share) },
	})
	switch {
	case ctx.Err() != nil:
		k.leave(context.WithoutCancel(ctx), h, s)
		return noTrouble, err
	case errors.Is(err, drivers.ErrConflict) && !k.others(ctx, s.host):
		return stale, err
	}
	return troubleOf(err), err
}

// dial connects to a host, when it is its turn.
func (k *keeper) dial(ctx context.Context, h *keptHost) (*session, error) {
	select {
	case k.dialing <- struct{}{}:
		defer func() { <-k.dialing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	o := k.c.options(*k.p.set, k.p.force)
	o.Owner.Holder = k.holder.ID
	o.Report = func(p reconcile.Progress) { k.say(h.at, p) }
	o.Meter = k.shown.meter()
	k.mu.Lock()
	inv := k.inv
	k.mu.Unlock()
	return k.c.connect(ctx, k.c, inv, h.at, o)
}

// loaded is called once a host's manifests were loaded and everything there is watched.
func (k *keeper) loaded(h *keptHost, link *keptLink) {
	k.mu.Lock()
	h.link = link
	k.mu.Unlock()
	switch h.told {
	case noTrouble:
	case unreachable, refusing:
		k.say(h.at, reconcile.Progress{Phase: "reachable again"})
		k.c.recordHost(h.at, "Normal", "HostReachable", "")
	default:
		k.say(h.at, reconcile.Progress{Phase: "kept again"})
		k.c.recordHost(h.at, "Normal", "HostKept", "")
	}
	h.told, h.failures = noTrouble, 0
	k.settled(h.at)
}

func troubleOf(err error) trouble {
	switch {
	case errors.Is(err, drivers.ErrUnreachable) && errors.Is(err, drivers.ErrPermanent):
		return refusing
	case errors.Is(err, drivers.ErrUnreachable):
		return unreachable
	case errors.Is(err, drivers.ErrConflict):
		return taken
	}
	return failing
}

// others says whether it is another run that holds the set on a host. It may also be this one, over a link that was lost, or nobody any more.
func (k *keeper) others(ctx context.Context, host drivers.Host) bool {
	holders, err := host.Holders(ctx)
	return err == nil && slices.ContainsFunc(holders, func(h drivers.Holder) bool { return h.Set == *k.p.set && h.ID != k.holder.ID })
}

func (k *keeper) tellFallback(at string, host drivers.Host) {
	best, err := host.Driver(spec.DriverAuto)
	if err != nil {
		return
	}
	for _, u := range host.Fallback(best.Kind()) {
		k.say(at, reconcile.Progress{Phase: "fallback", Message: fmt.Sprintf("running under %s, not %s: %s", best.Kind(), u.Kind, u.Advice())})
	}
}

// part is what the manifests declare for one host. It counts as changed, too, when the ledger wants to be asked again.
type part struct {
	reconcile.Source
	turn  func() int
	ask   <-chan struct{}
	asked atomic.Int64                   // the ledger's turn at the last Load
	wants atomic.Pointer[[]*spec.Daemon] // what the last good Load returned
}

func (p *part) Load(ctx context.Context) ([]*spec.Daemon, error) {
	p.asked.Store(int64(p.turn()))
	wants, err := p.Source.Load(ctx)
	if err == nil {
		p.wants.Store(&wants)
	}
	return wants, err
}

func (p *part) Watch(ctx context.Context, changed func()) error {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	defer func() { cancel(); <-ended }()
	go func() {
		defer close(ended)
		for {
			select {
			case <-p.ask:
				changed()
			case <-ctx.Done():
				return
			}
		}
	}()
	return p.Source.Watch(ctx, changed)
}

// remains are what a run leaves behind.
type remains struct {
	hosts          int
	running, alone int // alone are those that nothing restarts
	unknown        bool
}

// lookBack is how long a run looks for what it leaves behind on a host.
const lookBack = 5 * time.Second

// leave counts what goes on to run on a host, where the run ends and hasn't only let go of the host.
func (k *keeper) leave(ctx context.Context, h *keptHost, s *session) {
	k.mu.Lock()
	current := k.kept[h.at] == h
	k.mu.Unlock()
	if !current {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookBack)
	defer cancel()
	views, err := s.Look(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.left.hosts++
	if err != nil {
		k.left.unknown = true
		return
	}
	for _, v := range views {
		if v.Observed.Stamp != nil && v.Observed.Stamp.Owner.Set == *k.p.set && v.Observed.State == spec.Running {
			k.left.running++
			if unsupervised(v.Observed.Driver) {
				k.left.alone++
			}
		}
	}
}

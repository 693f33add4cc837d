package main

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"reconciler.dev/reconciler/internal/sdnotify"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/programs"
	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/spec"
)

// keeper keeps a set on all hosts that its manifests name: an engine for each, over a link that is made again whenever it is lost.
type keeper struct {
	c      *cli
	p      *planning
	resync time.Duration
	holder drivers.Holder
	src    *reconcile.FleetSource
	ledger *reconcile.Ledger
	maker  *programs.Maker
	say    func(at string, p reconcile.Progress)
	// shown is what is shown over HTTP; nil where nobody can look.
	shown *overview
	// dialing has room for those that connect at once.
	dialing chan struct{}
	// fail ends the run with an error.
	fail context.CancelCauseFunc

	caring sync.WaitGroup  // of kept hosts, and of looking at them when asked to
	named  map[string]bool // every host that the manifests ever named: what is left there is to be pruned

	mu    sync.Mutex
	inv   *inventory
	kept  map[string]*keptHost
	first map[string]bool // hosts of which it isn't known yet whether they can be kept
	left  remains
}

// keptHost is a host that a goroutine cares for.
type keptHost struct {
	at       string
	declared *spec.HostManifest
	stop     context.CancelFunc
	ended    chan struct{}
	ask      chan struct{} // holds a token where the ledger wants to be asked again
	told     trouble
	failures int
	// link is the run over the link that there is now, under keeper.mu; nil while there is none.
	link *keptLink
}

// run keeps the fleet until ctx ends, or what keeps this machine fails. Daemons live on.
func (k *keeper) run(ctx context.Context) error {
	ctx, k.fail = context.WithCancelCause(ctx)
	defer func() { k.fail(nil); k.caring.Wait() }()
	k.caring.Go(func() { k.shown.serve(ctx, k.c.logger(), k.say) })
	asked, stop := k.c.looks()
	defer stop()
	fleet, err := k.src.Load(ctx)
	if err != nil {
		return err
	}
	at, _ := k.wanted(fleet)
	for _, h := range at {
		k.first[h] = true
	}
	k.say("", reconcile.Progress{Phase: "keep", Message: fmt.Sprintf("set %s on %s from %s; ^C ends this and leaves the daemons running", *k.p.set, someHosts(at), strings.Join(k.p.Files, ", "))})
	k.follow(ctx, fleet)
	k.caring.Go(func() { k.lookWhenAsked(ctx, asked) })
	k.watch(ctx)
	k.caring.Wait()
	return context.Cause(ctx)
}

// someHosts names hosts, as long as they are few.
func someHosts(at []string) string {
	if len(at) > 5 {
		return plural(len(at), "host")
	}
	words := make([]string, len(at))
	for i, a := range at {
		words[i] = hostWord(a)
	}
	return strings.Join(words, ", ")
}

// watch follows the manifests until ctx ends.
func (k *keeper) watch(ctx context.Context) {
	for try := 1; ctx.Err() == nil; try++ {
		err := k.src.Watch(ctx, func(fleet reconcile.Fleet) { k.follow(ctx, fleet) })
		if ctx.Err() == nil {
			k.say("", reconcile.Progress{Phase: "not watching", Message: fmt.Sprintf("the manifests: %v", err)})
			pause(ctx, reconcile.RetryDelay("manifests", try))
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// wanted are the hosts that are to be kept, each once: those with daemons, and with --prune this machine, those that are declared, and those that once were named.
// declared is how many daemons the manifests have for all.
func (k *keeper) wanted(fleet reconcile.Fleet) (at []string, declared int) {
	inv := k.c.newInventory(fleet.Hosts)
	k.mu.Lock()
	k.inv = inv
	k.mu.Unlock()
	for _, p := range fleet.Placements {
		declared += len(p.Daemons)
		at = append(at, p.Host)
	}
	if k.p.prune {
		at = append(append(at, inv.distinct(append([]string{""}, inv.names()...)...)...), slices.Sorted(maps.Keys(k.named))...)
	}
	if !k.p.here() {
		only := k.p.among(inv)
		at = slices.DeleteFunc(at, func(h string) bool { return !slices.Contains(only, h) })
	}
	once := map[string]bool{}
	at = slices.DeleteFunc(at, func(h string) bool { defer func() { once[h] = true }(); return once[h] })
	maps.Copy(k.named, once)
	return at, declared
}

// follow begins to keep hosts that are new, ends that of those that aren't named any more, and begins anew with those that are now reached in another way.
func (k *keeper) follow(ctx context.Context, fleet reconcile.Fleet) {
	at, declared := k.wanted(fleet)
	before := map[string]<-chan struct{}{}
	k.mu.Lock()
	for name, h := range k.kept {
		if !slices.Contains(at, name) || !sameWay(h.declared, k.inv.find(name)) {
			h.stop()
			before[name] = h.ended
			delete(k.kept, name)
		}
	}
	for _, name := range at {
		if k.kept[name] == nil && ctx.Err() == nil {
			k.kept[name] = k.begin(ctx, name, before[name])
		}
	}
	hosts := slices.Sorted(maps.Keys(k.kept))
	k.mu.Unlock()
	k.shown.known()
	k.ledger.Begin(declared, hosts)
}

func sameWay(a, b *spec.HostManifest) bool {
	if a == nil || b == nil {
		return a == b
	}
	return reflect.DeepEqual(a.Spec, b.Spec)
}

// begin cares for a host from now on, after whoever did before; the caller holds k.mu.
func (k *keeper) begin(ctx context.Context, at string, before <-chan struct{}) *keptHost {
	h := &keptHost{at: at, declared: k.inv.find(at), ended: make(chan struct{}), ask: make(chan struct{}, 1)}
	ctx, h.stop = context.WithCancel(ctx)
	k.shown.begin(at)
	k.caring.Go(func() {
		defer close(h.ended)
		defer h.stop()
		if before != nil {
			<-before
			k.shown.begin(at)
		}
		k.care(ctx, h)
		k.shown.end(at)
	})
	return h
}

// askAgain has a host's run ask the ledger again.
func (k *keeper) askAgain(at string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if h := k.kept[at]; h != nil {
		select {
		case h.ask <- struct{}{}:
		default:
		}
	}
}

// settled says that it is known now whether a host can be kept. Once that is so for all, the service manager is told.
func (k *keeper) settled(at string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if delete(k.first, at); k.first != nil && len(k.first) == 0 {
		k.first = nil
		k.c.notify(sdnotify.Ready)
	}
}

package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"reconciler.dev/reconciler/pkg/reconcile"
)

// keptLink is the run of a host for as long as the link to the host lasts.
type keptLink struct {
	looks chan func(daemons int)
	lost  chan struct{}
}

// lose says that there is no run of a host any more.
func (k *keeper) lose(h *keptHost, link *keptLink) {
	k.mu.Lock()
	h.link = nil
	k.mu.Unlock()
	close(link.lost)
}

// lookWhenAsked looks at everything whenever it is asked to, until ctx ends.
func (k *keeper) lookWhenAsked(ctx context.Context, asked <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-asked:
			k.lookAtAll(ctx)
		}
	}
}

// lookAtAll looks at the daemons of all hosts side by side, and says so once it has. Hosts without a link are named: nobody knows how their daemons are.
func (k *keeper) lookAtAll(ctx context.Context) {
	began := time.Now()
	var mu sync.Mutex
	var seen, all int
	var missed []string
	var wg sync.WaitGroup
	k.mu.Lock()
	for at, h := range k.kept {
		link := h.link
		wg.Go(func() {
			n, ok := link.look(ctx)
			mu.Lock()
			defer mu.Unlock()
			if seen += n; ok {
				all++
			} else {
				missed = append(missed, hostWord(at))
			}
		})
	}
	k.mu.Unlock()
	wg.Wait()
	if ctx.Err() != nil {
		return
	}
	said := fmt.Sprintf("at %s on %s, in %.1f ms", plural(seen, "daemon"), plural(all, "host"), float64(time.Since(began))/float64(time.Millisecond))
	if slices.Sort(missed); len(missed) > 0 {
		said += "; not on " + strings.Join(missed, ", ") + ", which can't be reached"
	}
	k.say("", reconcile.Progress{Phase: "looked", Message: said})
}

// look looks at everything over a link, and tells whether it could.
func (l *keptLink) look(ctx context.Context) (daemons int, ok bool) {
	if l == nil {
		return 0, false
	}
	seen := make(chan int, 1)
	select {
	case l.looks <- func(n int) { seen <- n }:
	case <-l.lost:
		return 0, false
	case <-ctx.Done():
		return 0, false
	}
	select {
	case n := <-seen:
		return n, true
	case <-l.lost:
	case <-ctx.Done():
	}
	return 0, false
}

package web

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"reconciler.dev/reconciler/pkg/spec"
)

// Board keeps the last looks at all daemons and what is known of all hosts. Its zero value is empty and ready; all methods may be called concurrently.
type Board struct {
	mu   sync.Mutex
	seq  uint64
	more chan struct{} // closed and replaced when seq grows; nil while nobody waits

	hosts   map[string]Host
	daemons map[place]Daemon
	// sorted has the daemons in order; nil where it has to be made again.
	sorted []Daemon
}

// place is where a daemon is.
type place struct{ host, name string }

// Put adds or replaces a host. Its Seq is the board's business.
func (b *Board) Put(h Host) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.hosts == nil {
		b.hosts = map[string]Host{}
	}
	before := b.hosts[h.Name]
	if h.Seq = before.Seq; reflect.DeepEqual(h, before) {
		return
	}
	h.Seq = b.grow()
	b.hosts[h.Name] = h
	if before.Reachable && !h.Reachable {
		b.stale(h.Name)
	}
}

// stale says of all daemons of a host that nobody knows how they are now; the caller holds b.mu.
func (b *Board) stale(host string) {
	for at, d := range b.daemons {
		if at.host == host && !d.Stale {
			d.Stale, d.Seq = true, b.seq
			b.daemons[at] = d
		}
	}
	b.sorted = nil
}

// Drop forgets a host and its daemons.
func (b *Board) Drop(host string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.hosts, host)
	maps.DeleteFunc(b.daemons, func(at place, _ Daemon) bool { return at.host == host })
	b.sorted = nil
	b.grow()
}

// See adds or replaces a daemon. Its Seq is the board's business, and stays where the look found nothing new.
func (b *Board) See(d Daemon) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.daemons == nil {
		b.daemons = map[place]Daemon{}
	}
	at := place{d.Host, d.Name}
	if before, there := b.daemons[at]; there && same(before, d) {
		d.Seq = before.Seq
	} else {
		d.Seq = b.grow()
	}
	b.daemons[at] = d
	b.sorted = nil // who was given it goes on reading it
}

// same says whether two looks found the same: times that only pass are no news.
func same(a, b Daemon) bool { return reflect.DeepEqual(still(a), still(b)) }

// still is a daemon without the times that pass.
func still(d Daemon) Daemon {
	d.Seen, d.Seq = time.Time{}, 0
	d.Instance, d.Outgoing, d.LastExit = stopped(d.Instance), stopped(d.Outgoing), ended(d.LastExit)
	return d
}

func stopped(in *spec.Instance) *spec.Instance {
	if in == nil {
		return nil
	}
	c := *in
	c.Up, c.Exit, c.Last = 0, ended(in.Exit), ended(in.Last)
	return &c
}

func ended(e *spec.Exit) *spec.Exit {
	if e == nil {
		return nil
	}
	c := *e
	c.Since = 0
	return &c
}

// Forget takes a daemon off the board.
func (b *Board) Forget(host, name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.daemons, place{host, name})
	b.sorted = nil
	b.grow()
}

// grow counts a change and tells those who wait; the caller holds b.mu.
func (b *Board) grow() uint64 {
	b.seq++
	if b.more != nil {
		close(b.more)
		b.more = nil
	}
	return b.seq
}

// Hosts is as View has it.
func (b *Board) Hosts() []Host {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.SortedFunc(maps.Values(b.hosts), func(x, y Host) int { return strings.Compare(x.Name, y.Name) })
}

// Host is one of them; ok is false where there is none.
func (b *Board) Host(name string) (h Host, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	h, ok = b.hosts[name]
	return h, ok
}

// Daemons is as View has it.
func (b *Board) Daemons() []Daemon {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sorted == nil {
		b.sorted = slices.SortedFunc(maps.Values(b.daemons), func(x, y Daemon) int {
			return cmp.Or(strings.Compare(x.Host, y.Host), strings.Compare(x.Name, y.Name))
		})
	}
	return b.sorted
}

// Daemon is as View has it.
func (b *Board) Daemon(host, name string) (d Daemon, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	d, ok = b.daemons[place{host, name}]
	return d, ok
}

// Changed is as View has it.
func (b *Board) Changed() (seq uint64, more <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.more == nil {
		b.more = make(chan struct{})
	}
	return b.seq, b.more
}

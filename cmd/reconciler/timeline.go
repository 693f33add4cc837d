package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/local"
	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/spec"
)

// journal is what a machine remembers, without the drivers that it is about.
type journal interface {
	drivers.Journal
	Close() error
}

// localJournal is this machine's.
func localJournal(c *cli) (journal, error) {
	dirs, err := c.dirs()
	if err != nil {
		return nil, err
	}
	return local.New(dirs), nil
}

// recordHost records what happened to a host, on this machine: the host itself may not be there to remember it. It is an aid to people, and fails nothing.
func (c *cli) recordHost(at, kind, reason, message string) {
	here, err := c.journal(c)
	if err != nil {
		return
	}
	here.Record(spec.Event{At: time.Now(), Host: at, Type: kind, Reason: reason, Message: message})
	_ = here.Close()
}

// recordLost records which hosts of an apply can't be reached.
func (c *cli) recordLost(rs *reviews) {
	for _, r := range rs.all {
		if errors.Is(r.lost, drivers.ErrUnreachable) {
			c.recordHost(r.at, "Warning", unreachable.event(), r.lost.Error())
		}
	}
}

// timeline is the events of this machine and of others as one.
type timeline struct {
	*cli
	flags  *eventFlags
	since  time.Time
	wanted wanted
	here   journal
	beyond bool
}

// past is what happened until now, in the order of the times. It notes in seen, which has one for each site and a last one for this machine, what there was.
func (l *timeline) past(ctx context.Context, sites []*site, seen []shown) ([]happened, error) {
	found, errs := make([][]happened, len(sites)+1), make([]error, len(sites)+1)
	gather := func(i int, at string, j drivers.Journal) {
		errs[i] = j.Events(ctx, l.since, false, func(ev spec.Event) bool {
			seen[i].news(ev)
			if e, ok := l.wanted.take(at, ev); ok {
				found[i] = append(found[i], e)
			}
			return true
		})
	}
	gather(len(sites), "", l.here)
	each(l.flags.parallel, sites, func(i int) {
		if s := sites[i]; s.lost == nil {
			gather(i, s.at, s.host)
		}
	})
	all := slices.Concat(found...)
	slices.SortStableFunc(all, func(a, b happened) int { return a.At.Compare(b.At) })
	return all, errors.Join(errs...)
}

// list prints what happened until now.
func (l *timeline) list(ctx context.Context, sites []*site) error {
	all, err := l.past(ctx, sites, make([]shown, len(sites)+1))
	if err != nil {
		return err
	}
	if l.flags.out.value != "" {
		return l.encode(l.flags.out.value, listOf(all))
	}
	if len(all) == 0 {
		l.note("No events.")
	}
	t := l.table()
	for _, ev := range all {
		t.add(ev)
	}
	return t.flush()
}

// patience is how long the beginning of a timeline waits for a host that doesn't answer. What happened there comes when it does.
const patience = 3 * time.Second

// follow prints what happened until now in the order of the times, and then events as they come, each on its line, until ctx ends.
func (l *timeline) follow(ctx context.Context, inv *inventory, sites []*site) error {
	asked := ctx
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	t := l.table()
	t.widths = []int{9, 7, 12, 16} // usual ones, as those to come aren't known
	if t.hosts {
		t.widths = append([]int{9}, t.widths...)
	}
	var mu sync.Mutex
	print := func(at string, ev spec.Event) bool {
		e, ok := l.wanted.take(at, ev)
		if !ok {
			return true
		}
		mu.Lock()
		defer mu.Unlock()
		err := l.print(t, e)
		if err != nil {
			stop(err)
		}
		return err == nil
	}
	seen := make([]shown, len(sites)+1)
	begin, enough := context.WithTimeout(ctx, patience)
	past, _ := l.past(begin, sites, seen) // who follows a host tells what is wrong with it
	enough()
	if err := l.print(t, past...); err != nil {
		return err
	}
	var all sync.WaitGroup
	left := len(sites)
	all.Go(func() {
		seen := &seen[len(sites)]
		if err := l.here.Events(ctx, l.since, true, func(ev spec.Event) bool { return !seen.news(ev) || print("", ev) }); err != nil {
			stop(err)
		}
	})
	for i := range sites {
		all.Go(func() {
			if err := l.followHost(ctx, inv, sites, i, &seen[i], print); err != nil {
				stop(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if left--; left == 0 && l.beyond && !slices.Contains(l.wanted.at, "") {
				stop(errAllLost)
			}
		})
	}
	all.Wait()
	if asked.Err() != nil {
		return asked.Err()
	}
	if err := context.Cause(ctx); !errors.Is(err, errAllLost) {
		return err
	}
	return nil // why is said of each
}

// errAllLost: there is no host left to follow.
var errAllLost = errors.New("no host is left")

func (l *timeline) print(t *eventTable, events ...happened) error {
	for _, e := range events {
		switch l.flags.out.value {
		case "json":
			b, err := line(e)
			if err != nil {
				return err
			}
			if _, err := l.out.Write(b); err != nil {
				return err
			}
		case "yaml":
			if _, err := l.out.Write([]byte("---\n")); err != nil {
				return err
			}
			if err := l.encode("yaml", e); err != nil {
				return err
			}
		default:
			t.add(e)
		}
	}
	return t.flush()
}

// followHost follows the events of one host, over a new link whenever one is lost: what happened meanwhile comes then, and nothing comes twice. It gives a host up that only a person can mend.
func (l *timeline) followHost(ctx context.Context, inv *inventory, sites []*site, i int, shown *shown, print func(string, spec.Event) bool) error {
	s, told := sites[i], false
	for try := 1; ; try++ {
		err := s.lost
		if err == nil {
			if told {
				l.note("%sreachable again", hostPrefix(s.at))
				told, try = false, 1
			}
			err = s.host.Events(ctx, l.since, true, func(ev spec.Event) bool { return !shown.news(ev) || print(s.at, ev) })
		}
		switch {
		case err == nil, ctx.Err() != nil:
			return nil
		case !errors.Is(err, drivers.ErrUnreachable):
			return err
		case !told:
			l.lose(s, err)
			told = true
		}
		if errors.Is(err, drivers.ErrPermanent) {
			s.lost = err
			return nil
		}
		if s.session != nil {
			s.close()
			s.session = nil
		}
		if pause(ctx, reconcile.RetryDelay(s.at, try)); ctx.Err() != nil {
			return nil
		}
		s = l.reach(ctx, inv, s.at, l.looking(s.at))
		sites[i] = s
	}
}

// shown remembers what was shown of a host's events.
type shown struct {
	of map[spec.Event]shownLast
	// before is a time up to which everything was shown, for what is no longer remembered.
	before time.Time
}

type shownLast struct {
	at    time.Time
	count int
}

// mostShown bounds what is remembered.
const mostShown = 32 << 10

// news says whether an event tells anything that wasn't shown yet.
func (s *shown) news(e spec.Event) bool {
	k := spec.Event{Name: e.Name, Type: e.Type, Reason: e.Reason, Message: e.Message}
	last, known := s.of[k]
	if known && !e.At.After(last.at) && e.Count <= last.count || !known && !e.At.After(s.before) {
		return false
	}
	if len(s.of) >= mostShown {
		for _, l := range s.of {
			if l.at.After(s.before) {
				s.before = l.at
			}
		}
		clear(s.of)
	}
	if s.of == nil {
		s.of = map[spec.Event]shownLast{}
	}
	s.of[k] = shownLast{e.At, e.Count}
	return true
}

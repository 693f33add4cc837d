package driverstest

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// HistoryLimit is how many revisions of a daemon are kept.
const HistoryLimit = 10

// Journal is an in-memory drivers.Journal.
type Journal struct{ j *journal }

type journal struct {
	mu       sync.Mutex
	statuses map[string]spec.Status
	events   []spec.Event
	history  map[string][]spec.Revision
	grown    chan struct{} // closed and replaced when an event is added
}

var _ drivers.Journal = Journal{}

func newJournal() Journal {
	return Journal{&journal{statuses: map[string]spec.Status{}, history: map[string][]spec.Revision{}, grown: make(chan struct{})}}
}

// Statuses returns the statuses of names; none: of all.
func (x Journal) Statuses(_ context.Context, names ...string) (map[string]spec.Status, error) {
	x.j.mu.Lock()
	defer x.j.mu.Unlock()
	found := map[string]spec.Status{}
	for name, s := range x.j.statuses {
		if len(names) == 0 || slices.Contains(names, name) {
			found[name] = s
		}
	}
	return found, nil
}

// SetStatus remembers s, or forgets what it remembered where s has no conditions.
func (x Journal) SetStatus(_ context.Context, s spec.Status) error {
	x.j.mu.Lock()
	defer x.j.mu.Unlock()
	if len(s.Conditions) == 0 {
		delete(x.j.statuses, s.Name)
		return nil
	}
	x.j.statuses[s.Name] = s
	return nil
}

// Record appends e.
func (x Journal) Record(e spec.Event) {
	x.j.mu.Lock()
	defer x.j.mu.Unlock()
	x.j.events = append(x.j.events, e)
	close(x.j.grown)
	x.j.grown = make(chan struct{})
}

// Events yields events as they were recorded.
func (x Journal) Events(ctx context.Context, since time.Time, follow bool, yield func(spec.Event) bool) error {
	for at := 0; ; {
		x.j.mu.Lock()
		some, grown := x.j.events[at:], x.j.grown
		x.j.mu.Unlock()
		at += len(some)
		for _, e := range some {
			if !e.At.Before(since) && !yield(e) {
				return nil
			}
		}
		if !follow {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// History returns what Archive kept.
func (x Journal) History(_ context.Context, name string) ([]spec.Revision, error) {
	x.j.mu.Lock()
	defer x.j.mu.Unlock()
	return slices.Clone(x.j.history[name]), nil
}

// Archive keeps r in the place of the revision of its generation, and forgets all but the last HistoryLimit.
func (x Journal) Archive(_ context.Context, r spec.Revision) error {
	x.j.mu.Lock()
	defer x.j.mu.Unlock()
	h := slices.DeleteFunc(slices.Clone(x.j.history[r.Name]), func(o spec.Revision) bool {
		r.Ready = r.Ready || o.StillReady(r)
		return o.Generation == r.Generation
	})
	h = append(h, r)
	slices.SortFunc(h, func(a, b spec.Revision) int { return cmp.Compare(a.Generation, b.Generation) })
	x.j.history[r.Name] = h[max(0, len(h)-HistoryLimit):]
	return nil
}

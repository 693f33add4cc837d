package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// measured is what a daemon of a host has used, and how fast since it was measured before.
type measured struct {
	Host string `json:"host"`
	spec.Sample
	// Rates are omitted the first time.
	Rates *spec.Rate `json:"rates,omitempty"`
	// Outgoing is the copy that runs beside it while it is updated; it takes the place of the Sample's.
	Outgoing *measured `json:"outgoing,omitempty"`
	// goes says that it is that copy, as a row of its own.
	goes bool
}

// measuredSince is what s comes to since it was measured before.
func measuredSince(host string, before, s spec.Sample) measured {
	m := measured{Host: host, Sample: s}
	for _, b := range []*spec.Sample{&before, before.Outgoing} { // the one that is to go now may have been alone before
		if b != nil && b.Name != "" && (m.Rates == nil || b.Instance == s.Instance) {
			m.Rates = new(spec.Rates(*b, s))
		}
	}
	if s.Outgoing != nil {
		m.Outgoing = new(measuredSince(host, before, *s.Outgoing))
	}
	return m
}

// rowsOf are all of found as rows for people, the copies that are to go behind those that take their places.
func rowsOf(found []measured) []measured {
	rows := make([]measured, 0, len(found))
	for _, m := range found {
		rows = append(rows, m)
		if out := m.Outgoing; out != nil {
			row := *out
			row.Name, row.goes = m.Name+" (outgoing)", true
			rows = append(rows, row)
		}
	}
	return rows
}

// meter measures the daemons of one host time after time.
type meter struct {
	*site
	query drivers.StatsQuery
	last  map[string]spec.Sample
}

// read measures once. A daemon that isn't there is left out.
func (m *meter) read(ctx context.Context) ([]measured, error) {
	found, err := m.host.Stats(ctx, m.query)
	if err != nil {
		return nil, err
	}
	all := make([]measured, 0, len(found))
	now := make(map[string]spec.Sample, len(found))
	for _, s := range found {
		if s.State == spec.Absent {
			continue
		}
		now[s.Name] = s
		all = append(all, measuredSince(m.name(), m.last[s.Name], s))
	}
	m.last = now
	return all, nil
}

// meters are those of all sites that can be reached, for figures at every interval. Of the daemons named each must be on one of them.
func meters(ctx context.Context, sites []*site, names []string, interval time.Duration) (all []*meter, err error) {
	for _, s := range sites {
		if s.lost == nil {
			all = append(all, &meter{site: s, query: drivers.StatsQuery{Names: names, MaxAge: interval / 2}})
		}
	}
	if len(names) == 0 || len(all) == 0 {
		return all, nil
	}
	found, errs := make([][]spec.Sample, len(all)), make([]error, len(all))
	each(len(all), all, func(i int) { found[i], errs[i] = all[i].host.Stats(ctx, all[i].query) })
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for i, name := range names {
		if !slices.ContainsFunc(found, func(of []spec.Sample) bool { return of[i].State != spec.Absent }) {
			err = errors.Join(err, fmt.Errorf("find daemon %s on %s: %w; reconciler get lists what there is", name, siteNames(sites), drivers.ErrNotFound))
		}
	}
	return all, err
}

// measure has all meters read at every interval, side by side, until ctx ends, each count times at most where that isn't 0. A host that takes its time, or is lost, keeps nobody
// waiting. yield is called by one at a time, with what a host said, or why nothing can be known of it any more, which ends with that host; when it returns false all ends.
func measure(ctx context.Context, all []*meter, interval time.Duration, count int, yield func(m *meter, found []measured, err error) bool) error {
	ctx, enough := context.WithCancel(ctx)
	defer enough()
	var mu sync.Mutex
	ended := false
	each(len(all), all, func(i int) {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for n := 1; ; n++ {
			found, err := all[i].read(ctx)
			mu.Lock()
			if ctx.Err() == nil && !ended && !yield(all[i], found, err) {
				ended = true
				enough()
			}
			mu.Unlock()
			if err != nil || n == count {
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	if ended {
		return nil
	}
	return ctx.Err()
}

// once measures each host twice, an interval apart, so that rates are known. What can't be measured of a host is its error.
func once(ctx context.Context, all []*meter, interval time.Duration) ([][]measured, []error) {
	found, errs := make([][]measured, len(all)), make([]error, len(all))
	_ = measure(ctx, all, interval, 2, func(m *meter, now []measured, err error) bool {
		i := slices.Index(all, m)
		found[i], errs[i] = now, err
		return true
	})
	return found, errs
}

package driverstest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// Uses sets what fills in the figures of each daemon that runs; nil: nothing is known of any.
func (h *Host) Uses(fill func(*spec.Sample)) {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	h.s.uses = fill
}

// Stats returns what Uses fills in. Its clock is that of package time.
func (h *Host) Stats(ctx context.Context, q drivers.StatsQuery) ([]spec.Sample, error) {
	names := q.Names
	if len(names) == 0 {
		for _, d := range h.drivers {
			more, err := d.List(ctx)
			if err != nil {
				return nil, fmt.Errorf("read what daemons of %s use: %w", h.Name(), err)
			}
			names = append(names, more...)
		}
		slices.Sort(names)
		names = slices.Compact(names)
	}
	h.s.mu.Lock()
	fill, clock := h.s.uses, time.Since(h.s.began)
	h.s.mu.Unlock()
	all := make([]spec.Sample, len(names))
	for i, name := range names {
		all[i] = spec.Sample{Name: name, State: spec.Absent, At: time.Now(), Clock: clock}
	}
	for _, d := range h.drivers {
		found, err := d.Observe(ctx, names...)
		if err != nil {
			return nil, fmt.Errorf("read what daemons of %s use: %w", h.Name(), err)
		}
		for i, o := range found {
			if o.State == spec.Absent {
				continue
			}
			s := &all[i]
			s.State, s.Message, s.Driver = o.State, o.Message, d.Kind()
			if o.Instance != nil && o.State == spec.Running {
				s.Instance, s.PIDs = o.Instance.ID, []int{o.Instance.PID}
				if fill != nil {
					fill(s)
				}
			}
			if out := o.Outgoing; out != nil && out.ID != "" && out.Exit == nil {
				s.Outgoing = &spec.Sample{Name: names[i], State: spec.Running, Driver: d.Kind(), At: s.At, Clock: clock, Instance: out.ID, PIDs: []int{out.PID}}
				if fill != nil {
					fill(s.Outgoing)
				}
			}
		}
	}
	return all, nil
}

package local

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"reconciler.dev/reconciler/internal/gpu"
	"reconciler.dev/reconciler/internal/usage"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// sampler reads figures for whoever asks, one pass at a time. Who asks while a pass is under way, or accepts figures of the one before, shares it.
type sampler struct {
	// turn holds a value while somebody uses what follows.
	turn   chan struct{}
	reader usage.Reader
	// rest has the reader let go of what it holds for another pass, once none has come for a while.
	rest *time.Timer
	// kept are the figures of each daemon that were read last.
	kept map[string]kept
	// all are the names of the last pass over all daemons, which began then.
	all   []string
	began time.Time
}

// kept is a Sample, and when the pass began that it was read in.
type kept struct {
	spec.Sample
	began       time.Time
	ports, bare bool
}

// serves says whether what was read is what q asks for.
func (k kept) serves(q drivers.StatsQuery, oldest time.Time) bool {
	return !k.began.Before(oldest) && (k.ports || !q.Ports) && (!k.bare || q.Bare)
}

func newSampler() *sampler { return &sampler{turn: make(chan struct{}, 1), kept: map[string]kept{}} }

// restAfter is how long after a pass it is.
const restAfter = 5 * time.Second

// restLater is called by whoever has the turn, after a pass.
func (s *sampler) restLater() {
	if s.rest == nil {
		s.rest = time.AfterFunc(restAfter, s.restNow)
		return
	}
	s.rest.Reset(restAfter)
}

// restNow lets go of what is held. Another pass may come all the same, and costs more.
func (s *sampler) restNow() {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	if s.rest != nil {
		s.rest.Stop()
	}
	s.reader.Rest()
}

// Stats returns what daemons have used.
func (h *Host) Stats(ctx context.Context, q drivers.StatsQuery) ([]spec.Sample, error) {
	oldest := time.Now().Add(-q.MaxAge)
	s := h.sampler
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	names := q.Names
	if len(names) == 0 {
		if names = nil; !s.began.Before(oldest) {
			names = s.all
		}
	}
	stale := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		k, have := s.kept[name]
		return have && k.serves(q, oldest)
	})
	if len(stale) > 0 || names == nil {
		if err := h.sample(ctx, stale, q); err != nil {
			return nil, fmt.Errorf("read what daemons of %s use: %w", h.Name(), err)
		}
	}
	if names == nil {
		names = s.all
	}
	out := make([]spec.Sample, len(names))
	for i, name := range names {
		out[i] = s.kept[name].Sample
	}
	return out, nil
}

// sample reads the figures of daemons, none: of all, in one pass.
func (h *Host) sample(ctx context.Context, names []string, q drivers.StatsQuery) error {
	began := time.Now()
	places, err := h.places(ctx, names)
	if err != nil {
		return err
	}
	var said gpu.Reading
	var gpuErr error
	if !q.Bare {
		said, gpuErr = h.gpus.read(ctx)
	}
	s := h.sampler
	s.reader.Begin()
	defer s.restLater()
	if names == nil {
		clear(s.kept)
		s.all, s.began = make([]string, 0, len(places)), began
	}
	read := func(p drivers.Place, driver spec.DriverKind) *spec.Sample {
		one := &spec.Sample{Name: p.Name, State: p.State, Message: p.Message, Driver: driver, Instance: p.Instance, Cgroup: p.Cgroup, At: began}
		if p.State != spec.Running {
			return one
		}
		of := usage.Subject{Dir: p.Dir, PIDs: p.PIDs}
		if q.Bare {
			s.reader.Processes(ctx, one, of)
		} else {
			s.reader.Read(ctx, one, of)
		}
		if one.PIDs != nil && !q.Bare {
			fillGPUs(one, said, gpuErr)
		}
		if q.Ports {
			s.reader.Ports(ctx, one)
		}
		return one
	}
	for _, p := range places {
		one := read(p.Place, p.driver)
		if p.Outgoing != nil {
			one.Outgoing = read(*p.Outgoing, p.driver)
		}
		s.kept[p.Name] = kept{*one, began, q.Ports, q.Bare}
		if names == nil {
			s.all = append(s.all, p.Name)
		}
	}
	if names == nil {
		s.reader.Forget(func(name string) bool { _, there := s.kept[name]; return !there })
	}
	return nil
}

// placed is a Place of a driver.
type placed struct {
	drivers.Place
	driver spec.DriverKind
}

// places asks the drivers where daemons are, none: all, sorted by name. Of a daemon that more than one driver knows, what runs counts.
func (h *Host) places(ctx context.Context, names []string) ([]placed, error) {
	found := make(map[string]placed, len(names))
	for _, name := range names {
		found[name] = placed{Place: drivers.Place{Name: name, State: spec.Absent}}
	}
	for _, d := range h.drivers {
		places, err := placesOf(ctx, d, names)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		for _, p := range places {
			if was, known := found[p.Name]; !known || weight(p.State) > weight(was.State) {
				found[p.Name] = placed{p, d.Kind()}
			}
		}
	}
	return slices.SortedFunc(maps.Values(found), func(a, b placed) int { return strings.Compare(a.Name, b.Name) }), nil
}

// weight orders states by how much they say.
func weight(s spec.State) int {
	return slices.Index([]spec.State{spec.Absent, spec.Exited, spec.Unknown, spec.Running}, s)
}

// placesOf asks one driver; one that can't tell at little cost is looked at with.
func placesOf(ctx context.Context, d drivers.Driver, names []string) ([]drivers.Place, error) {
	if p, ok := drivers.Find[drivers.Placer](d); ok {
		return p.Places(ctx, names...)
	}
	if len(names) == 0 {
		var err error
		if names, err = d.List(ctx); err != nil || len(names) == 0 {
			return nil, err
		}
	}
	found, err := d.Observe(ctx, names...)
	if err != nil {
		return nil, err
	}
	tree, _ := drivers.Find[drivers.Tree](d)
	places := make([]drivers.Place, len(found))
	for i, o := range found {
		places[i] = placeOf(ctx, o, tree)
	}
	return places, nil
}

// placeOf is where an observed daemon is. tree may be nil.
func placeOf(ctx context.Context, o spec.Observed, tree drivers.Tree) drivers.Place {
	p := drivers.Place{Name: o.Name, State: o.State, Message: o.Message, Cgroup: o.Cgroup}
	switch o.State {
	case spec.Running, spec.Starting, spec.Stopping:
	default:
		return p
	}
	p.State = spec.Running
	if o.Instance != nil {
		p.Instance = o.Instance.ID
	}
	if tree == nil {
		return p
	}
	pids, err := tree.PIDs(ctx, o.Name)
	if err != nil {
		p.State, p.Message = spec.Unknown, err.Error()
	}
	if p.PIDs = pids; err == nil && len(pids) == 0 {
		p.State = spec.Exited
	}
	return p
}

package web

import (
	"context"
	"sync"
	"time"

	"reconciler.dev/reconciler/pkg/spec"
)

// Reader reads what the daemons of one host use, or returns figures that are no older than age.
type Reader func(ctx context.Context, age time.Duration) ([]spec.Sample, error)

// Sampler reads figures for whoever asks, each host by itself: for the plots of the last hour, and in between for those who measure. Its zero value is ready; all methods may be
// called concurrently.
type Sampler struct {
	mu    sync.Mutex
	hosts map[string]*sampled
	// asking is who measures, told apart by the age that they accept: those are few.
	asking map[time.Duration]*rhythm
}

// sampled is one host's figures.
type sampled struct {
	// turn holds a value while somebody reads the host, and what stands here first is theirs.
	turn  chan struct{}
	began time.Time // the last good read
	// tried is closed once it was read, or couldn't be.
	tried chan struct{}
	// soon holds a value where somebody is about to ask, or has just taken figures that are old.
	soon chan struct{}

	// Under Sampler.mu, of which the maps' contents are never changed.
	read   Reader // nil while the host isn't kept
	now    map[string]*Usage
	nowAt  time.Time
	before map[string]*Usage // those of the last point
	past   past
}

// The bounds of a read.
const (
	// readWithin bounds one; a host that takes longer can't be read.
	readWithin = 10 * time.Second
	// freshFor is how long figures speak for a daemon where nothing newer can be had.
	freshFor = 3 * PastEvery
	// shareFor is the age that figures of the last hour may have: who has just measured did it for them as well.
	shareFor = time.Second
)

// Keep reads a host every PastEvery until ctx ends. Afterwards its daemons are without figures, but for the last hour's.
func (s *Sampler) Keep(ctx context.Context, host string, read Reader) {
	h := s.host(host, read)
	defer func() {
		s.mu.Lock()
		h.read, h.now = nil, nil
		s.mu.Unlock()
	}()
	tick := time.NewTicker(PastEvery)
	defer tick.Stop()
	for {
		s.refresh(ctx, h, shareFor)
		if ctx.Err() != nil {
			return
		}
		s.point(h)
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				return
			case <-h.soon:
				s.refresh(ctx, h, shareFor/2)
			case <-tick.C:
				waiting = false
			}
		}
	}
}

func (s *Sampler) host(name string, read Reader) *sampled {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.hosts[name]
	if h == nil {
		if s.hosts == nil {
			s.hosts = map[string]*sampled{}
		}
		h = &sampled{turn: make(chan struct{}, 1), soon: make(chan struct{}, 1), tried: make(chan struct{})}
		s.hosts[name] = h
	}
	h.read = read
	return h
}

// Forget forgets a host that nobody keeps any more.
func (s *Sampler) Forget(host string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.hosts, host)
}

// Measure is as View has it. Who asks at regular intervals finds the figures read: that was done half of the age before.
func (s *Sampler) Measure(ctx context.Context, age time.Duration) {
	var wg sync.WaitGroup
	for _, h := range s.asked(age) {
		wg.Go(func() { s.refresh(ctx, h, age) })
	}
	wg.Wait()
}

// Expect is as View has it. Figures that are older are read anew once they were taken, for whoever comes next.
func (s *Sampler) Expect(ctx context.Context, age time.Duration) {
	for _, h := range s.asked(age) {
		select {
		case <-h.tried:
		case <-ctx.Done():
			return
		}
		s.mu.Lock()
		old := time.Since(h.nowAt) > age
		s.mu.Unlock()
		if old {
			h.hurry()
		}
	}
}

// asked notes that somebody asks who accepts that age, and returns the hosts that are kept.
func (s *Sampler) asked(age time.Duration) []*sampled {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expect(time.Now(), age)
	kept := make([]*sampled, 0, len(s.hosts))
	for _, h := range s.hosts {
		if h.read != nil {
			kept = append(kept, h)
		}
	}
	return kept
}

// expect has the hosts read in time for the next who accepts that age, where it is known when that is; the caller holds s.mu.
func (s *Sampler) expect(now time.Time, age time.Duration) {
	r := s.asking[age]
	if r == nil {
		if s.asking == nil {
			s.asking = map[time.Duration]*rhythm{}
		}
		r = new(rhythm)
		s.asking[age] = r
	}
	next, regular := r.ask(now)
	wait := next.Add(-age / 2).Sub(now)
	if !regular || wait <= age {
		return
	}
	if r.before == nil {
		r.before = time.AfterFunc(wait, s.hurry)
		return
	}
	r.before.Reset(wait)
}

// hurry has all hosts read now.
func (s *Sampler) hurry() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.hosts {
		h.hurry()
	}
}

// hurry has the host read as soon as nobody reads it.
func (h *sampled) hurry() {
	select {
	case h.soon <- struct{}{}:
	default:
	}
}

// refresh reads a host where its figures are older than age. That it can't be read takes them away; that ctx ended meanwhile doesn't.
func (s *Sampler) refresh(ctx context.Context, h *sampled, age time.Duration) {
	select {
	case h.turn <- struct{}{}:
		defer func() { <-h.turn }()
	case <-ctx.Done():
		return
	}
	s.mu.Lock()
	read, last := h.read, h.now
	s.mu.Unlock()
	if read == nil || last != nil && time.Since(h.began) <= age {
		return
	}
	began := time.Now()
	bounded, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	samples, err := read(bounded, 0)
	if ctx.Err() != nil {
		return
	}
	var now map[string]*Usage
	if err == nil {
		h.began, now = began, usages(last, samples, began)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.read != nil {
		h.now, h.nowAt = now, began
	}
	select {
	case <-h.tried:
	default:
		close(h.tried)
	}
}

// usages are what daemons used at a time, and how fast since last.
func usages(last map[string]*Usage, samples []spec.Sample, at time.Time) map[string]*Usage {
	now := make(map[string]*Usage, len(samples))
	for _, sample := range samples {
		if sample.State == spec.Absent {
			continue
		}
		u := &Usage{Sample: sample, Read: at}
		if before := last[sample.Name]; before != nil {
			u.Rates = spec.Rates(before.Sample, sample)
		}
		now[sample.Name] = u
	}
	return now
}

// Usage is as View has it.
func (s *Sampler) Usage(host, name string) (Usage, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.hosts[host]
	if h == nil || h.now[name] == nil || time.Since(h.nowAt) > freshFor {
		return Usage{}, false
	}
	return *h.now[name], true
}

// point adds a point of the last hour, from figures that were just read.
func (s *Sampler) point(h *sampled) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h.past.add(time.Now(), h.before, h.now)
	h.before = h.now
}

// Past is as View has it.
func (s *Sampler) Past(host, name string) []Point {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.hosts[host]
	if h == nil {
		return nil
	}
	return h.past.of(name, time.Now().Add(-PastPoints*PastEvery))
}

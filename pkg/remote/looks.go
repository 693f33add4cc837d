package remote

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// A controller names what it knows of each daemon that it looks at, by the tag that came with it, and the agent leaves out what is still so. That has no memory at the agent, and
// what a controller forgets it is told again. Times that only pass are no change: what is left out is as much older as the agent's clock went on.

// lookParams are those of observe: the tags are of the names beside them, empty where nothing is known.
type lookParams struct {
	Driver spec.DriverKind `json:"driver"`
	Names  []string        `json:"names"`
	Known  []string        `json:"known,omitempty"`
}

// looks are what observe answers: those of the names that are no longer as the controller knows them.
type looks struct {
	// Now is a clock of the agent's that no one sets.
	Now   time.Duration `json:"now"`
	Found []look        `json:"found,omitempty"`
}

// look is one of them, by its place among the names.
type look struct {
	At       int      `json:"at"`
	Tag      string   `json:"tag"`
	Observed observed `json:"observed"`
}

// observe looks at daemons for a controller.
func observe(ctx context.Context, s *server, p lookParams) (any, error) {
	d, err := s.driver(p.Driver)
	if err != nil {
		return nil, err
	}
	answer := looks{Now: time.Since(s.began)}
	answer.Found, err = lookAt(ctx, d, p.Names, p.Known, answer.Now)
	return answer, err
}

// lookAt looks at daemons, and returns those that aren't as the tags of known say.
func lookAt(ctx context.Context, d drivers.Driver, names, known []string, now time.Duration) (all []look, err error) {
	found, err := d.Observe(ctx, names...)
	if err != nil {
		return nil, err
	}
	for i, o := range found {
		w := packObserved(o)
		tag, err := w.tag(now)
		if err != nil {
			return nil, fmt.Errorf("look at daemon %s: %w", o.Name, err)
		}
		if i >= len(known) || known[i] != tag {
			all = append(all, look{i, tag, w})
		}
	}
	return all, nil
}

// belongsTo says whether it is of the one among names that it says it is of.
func (l *look) belongsTo(names []string) bool {
	return l.At >= 0 && l.At < len(names) && l.Observed.Name == names[l.At] && len(l.Tag) <= tagLen
}

// ageing returns a copy of w, and the times in it that only grow while nothing happens.
func (w observed) ageing() (c *observed, ages []*time.Duration) {
	c = &w
	if w.Outgoing != nil && w.Outgoing.Exit == nil {
		c.Outgoing = new(*w.Outgoing)
		ages = append(ages, &c.Outgoing.Up)
	}
	if w.Instance == nil {
		return c, ages
	}
	in := *w.Instance
	c.Instance = &in
	if in.Exit == nil {
		ages = append(ages, &in.Up)
	} else {
		in.Exit = new(*in.Exit)
		ages = append(ages, &c.ExitSince)
	}
	if in.Last != nil {
		in.Last = new(*in.Last)
		ages = append(ages, &c.LastSince)
	}
	return c, ages
}

// tagLen is the longest tag that a controller keeps.
const tagLen = 16

// tag is the same for what is the same, whenever it is looked at, to a second in its times: to look takes a while.
func (w observed) tag(now time.Duration) (string, error) {
	c, ages := w.ageing()
	for _, a := range ages {
		*a = (now - *a).Round(time.Second)
	}
	if in := c.Instance; in != nil {
		in.Up = in.Up.Round(time.Second)
	}
	b, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:])[:tagLen], nil
}

// known is what a controller knows of a daemon.
type known struct {
	tag string
	now time.Duration // of the agent's clock, when it was told
	w   observed
}

// as is what was known, so much later.
func (k *known) as(now time.Duration) spec.Observed {
	c, ages := k.w.ageing()
	for _, a := range ages {
		*a += max(0, now-k.now)
	}
	return c.unpack()
}

// maxKnown is how many daemons a controller remembers of each driver of a host.
const maxKnown = 4096

// memory is what a controller knows of the daemons of a driver, as long as the link lasts.
type memory struct {
	mu  sync.Mutex
	all map[string]*known
}

// of returns what is known of names, nil where nothing is.
func (m *memory) of(names []string) []*known {
	m.mu.Lock()
	defer m.mu.Unlock()
	found := make([]*known, len(names))
	for i, n := range names {
		found[i] = m.all[n]
	}
	return found
}

func (m *memory) learn(name string, k *known) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all == nil || len(m.all) >= maxKnown && m.all[name] == nil {
		m.all = map[string]*known{}
	}
	m.all[name] = k
}

// errOthers is an answer for others than was asked for.
var errOthers = errors.New("the agent answers for others than it was asked for")

// Observe asks for what has changed since the last look.
func (d *driver) Observe(ctx context.Context, names ...string) ([]spec.Observed, error) {
	had := d.known.of(names)
	p := lookParams{Driver: d.Kind(), Names: names, Known: make([]string, len(names))}
	for i, k := range had {
		if k != nil {
			p.Known[i] = k.tag
		}
	}
	var answer looks
	if err := d.c.do(ctx, "observe", p, &answer, nil); err != nil {
		return nil, err
	}
	for _, l := range answer.Found {
		if !l.belongsTo(names) {
			return nil, fmt.Errorf("look at daemons of host %s: %w: %w", d.c.name, errOthers, drivers.ErrUnreachable)
		}
		had[l.At] = &known{l.Tag, answer.Now, l.Observed}
		d.known.learn(names[l.At], had[l.At])
	}
	all := make([]spec.Observed, len(names))
	for i, k := range had {
		if k == nil {
			return nil, fmt.Errorf("look at daemon %s of host %s: %w: %w", names[i], d.c.name, errOthers, drivers.ErrUnreachable)
		}
		all[i] = k.as(answer.Now)
	}
	return all, nil
}

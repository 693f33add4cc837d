package remote

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"reconciler.dev/reconciler/pkg/spec"
)

// tidings are what watch sends: names, and where they are few how those daemons are, by all drivers of the machine, so that nobody has to ask for that over a long link.
type tidings struct {
	Names []string `json:"names"`
	// Steps is how many steps had ended over this link before the daemons were looked at.
	Steps int64                      `json:"steps,omitempty"`
	Now   time.Duration              `json:"now,omitempty"`
	Looks map[spec.DriverKind][]look `json:"looks,omitempty"`
}

// watch sends the names of what changed, and how those daemons are. While the controller has no room for more they are gathered, each once, and beyond maxChanged they are no names but
// "look at everything".
func watch(ctx context.Context, s *server, p driverParams, part func([]byte) error) error {
	d, err := s.driver(p.Driver)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	news := &changes{more: make(chan struct{}, 1)}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { cancel(d.Watch(ctx, news.add)) })
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-news.more:
		}
		b, err := json.Marshal(s.newsOf(ctx, news.take()))
		if err == nil {
			err = part(append(b, '\n'))
		}
		if err != nil {
			cancel(err)
			return err
		}
	}
}

// maxChanged is how many names are gathered: as many as fit into one part, so that each part is whole.
const maxChanged = 256

// changes gathers names.
type changes struct {
	mu    sync.Mutex
	names []string
	more  chan struct{}
}

func (c *changes) add(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case slices.Contains(c.names, name):
	case len(c.names) >= maxChanged:
		c.names = []string{""}
	default:
		c.names = append(c.names, name)
	}
	signal(c.more)
}

func (c *changes) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	names := c.names
	c.names = nil
	return names
}

const (
	// maxTold is of how many daemons at once it is told how they are; of more it is asked for as many as that matters of.
	maxTold = 8
	// lookLimit is how long the news that something changed wait for how it is now.
	lookLimit = 200 * time.Millisecond
)

// newsOf looks at what changed, unless a step is under way: whoever does that looks afterwards.
func (s *server) newsOf(ctx context.Context, names []string) tidings {
	t := tidings{Names: names, Steps: s.ended.Load(), Now: time.Since(s.began)}
	if len(names) > maxTold || slices.Contains(names, "") || s.begun.Load() != t.Steps {
		return t
	}
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	all := s.Host.Drivers()
	looks, errs := make([][]look, len(all)), make([]error, len(all))
	var wg sync.WaitGroup
	for i, d := range all {
		wg.Go(func() { looks[i], errs[i] = lookAt(ctx, d, names, nil, t.Now) })
	}
	wg.Wait()
	found := map[spec.DriverKind][]look{}
	for i, d := range all {
		if errs[i] != nil {
			return t // who asks is told why
		}
		found[d.Kind()] = looks[i]
	}
	t.Looks = found
	return t
}

// told is what tidings brought, for as long as nothing else happened.
type told struct {
	// steps is how many were begun over this link.
	steps atomic.Int64

	mu  sync.Mutex
	all map[toldBy]toldOf
}

type toldBy struct {
	driver spec.DriverKind
	name   string
}

type toldOf struct {
	known *known
	steps int64
	at    time.Time
}

// fresh is how long it counts what tidings brought.
const fresh = 100 * time.Millisecond

// maxUnused is how many looks that nobody asked for are kept.
const maxUnused = 256

// take keeps what tidings brought, for each driver that it is of. A daemon is named once in it for each driver.
func (t *told) take(n tidings) {
	if n.Steps != t.steps.Load() || len(n.Names) > maxTold {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	for kind, looks := range n.Looks {
		for _, l := range looks {
			if len(t.all) >= maxUnused { // nobody wants to know
				t.all = nil
			}
			if t.all == nil {
				t.all = map[toldBy]toldOf{}
			}
			if l.belongsTo(n.Names) {
				t.all[toldBy{kind, n.Names[l.At]}] = toldOf{&known{l.Tag, n.Now, l.Observed}, n.Steps, now}
			}
		}
	}
}

// Told is what Watch brought of a daemon just now, once.
func (d *driver) Told(name string) (spec.Observed, bool) {
	t := d.told
	t.mu.Lock()
	found, ok := t.all[toldBy{d.Kind(), name}]
	delete(t.all, toldBy{d.Kind(), name})
	t.mu.Unlock()
	if !ok || found.steps != t.steps.Load() || time.Since(found.at) > fresh {
		return spec.Observed{}, false
	}
	d.known.learn(name, found.known)
	return found.known.as(found.known.now), true
}

func (d *driver) Watch(ctx context.Context, changed func(name string)) error {
	return d.c.do(ctx, "watch", driverParams{d.Kind()}, nil, lines(func(line []byte) error {
		var n tidings
		if err := json.Unmarshal(line, &n); err != nil {
			return fmt.Errorf("read what changed on host %s: %w", d.c.name, err)
		}
		d.told.take(n)
		for _, name := range n.Names {
			changed(name)
		}
		return nil
	}))
}

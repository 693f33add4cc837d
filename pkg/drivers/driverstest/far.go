package driverstest

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// Far is a machine in memory behind links that can be cut. It may be used from any goroutine.
type Far struct {
	name    string
	machine *Host

	mu    sync.Mutex
	why   string // no link can be made; empty: they can
	links map[*farHost]bool
	stale []*Host // of links that were cut, which the machine hasn't noticed
	dials int
}

// NewFar returns a machine that is called name from afar.
func NewFar(name string, machine *Host) *Far {
	return &Far{name: name, machine: machine, links: map[*farHost]bool{}}
}

// Host is the machine itself, from near.
func (f *Far) Host() *Host { return f.machine }

// Dial makes a link, and returns the machine at its end, which is a drivers.Linked.
func (f *Far) Dial(context.Context) (drivers.Host, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dials++
	if f.why != "" {
		return nil, fmt.Errorf("reach host %s: %s: %w", f.name, f.why, drivers.ErrUnreachable)
	}
	h := &farHost{Host: f.machine.Reopen(), name: f.name, done: make(chan struct{})}
	h.end = sync.OnceFunc(func() { close(h.done) })
	h.forget = func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.links, h)
	}
	for _, d := range h.Host.Drivers() {
		h.ds = append(h.ds, farDriver{d, h})
	}
	f.links[h] = true
	return h, nil
}

// Dials is how often somebody tried to make a link.
func (f *Far) Dials() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dials
}

// Cut cuts all links because of why, and lets none be made. The machine notices nothing: what was locked over a link stays so until Notice.
func (f *Far) Cut(why string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.why = why
	for h := range f.links {
		h.end()
		f.stale = append(f.stale, h.Host)
	}
	clear(f.links)
}

// Mend lets links be made again.
func (f *Far) Mend() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.why = ""
}

// Notice has the machine notice that links were cut.
func (f *Far) Notice() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, h := range f.stale {
		_ = h.Close() // never an error
	}
	f.stale = nil
}

// farHost is a machine at the end of a link.
type farHost struct {
	*Host
	name        string
	ds          []drivers.Driver
	done        chan struct{}
	end, forget func()
}

var _ drivers.Linked = (*farHost)(nil)

func (h *farHost) Name() string              { return h.name }
func (h *farHost) Drivers() []drivers.Driver { return h.ds }
func (h *farHost) Done() <-chan struct{}     { return h.done }

func (h *farHost) Driver(kind spec.DriverKind) (drivers.Driver, error) {
	for _, d := range h.ds {
		if kind == d.Kind() || kind == spec.DriverAuto || kind == "" {
			return d, nil
		}
	}
	return nil, fmt.Errorf("driver %s on %s: %w", kind, h.name, drivers.ErrUnsupported)
}

func (h *farHost) Err() error {
	select {
	case <-h.done:
		return fmt.Errorf("host %s: the link is lost: %w", h.name, drivers.ErrUnreachable)
	default:
		return nil
	}
}

// over does something over the link, which may be cut meanwhile.
func (h *farHost) over(ctx context.Context, do func(ctx context.Context) error) error {
	if err := h.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-h.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	err := do(ctx)
	if lost := h.Err(); lost != nil {
		return lost
	}
	return err
}

func (h *farHost) Probe(ctx context.Context, daemon string, check spec.Health) error {
	return h.over(ctx, func(ctx context.Context) error { return h.Host.Probe(ctx, daemon, check) })
}

func (h *farHost) Stats(ctx context.Context, q drivers.StatsQuery) (all []spec.Sample, err error) {
	err = h.over(ctx, func(ctx context.Context) error { all, err = h.Host.Stats(ctx, q); return err })
	return all, err
}

func (h *farHost) Statuses(ctx context.Context, names ...string) (all map[string]spec.Status, err error) {
	err = h.over(ctx, func(ctx context.Context) error { all, err = h.Host.Statuses(ctx, names...); return err })
	return all, err
}

func (h *farHost) SetStatus(ctx context.Context, s spec.Status) error {
	return h.over(ctx, func(ctx context.Context) error { return h.Host.SetStatus(ctx, s) })
}

func (h *farHost) Events(ctx context.Context, since time.Time, follow bool, yield func(spec.Event) bool) error {
	return h.over(ctx, func(ctx context.Context) error { return h.Host.Events(ctx, since, follow, yield) })
}

func (h *farHost) Logs(ctx context.Context, daemon string, w io.Writer, opts drivers.LogOptions) error {
	return h.over(ctx, func(ctx context.Context) error { return h.Host.Logs(ctx, daemon, w, opts) })
}

func (h *farHost) Lock(ctx context.Context, set string, holder drivers.Holder) (_ func(), err error) {
	var release func()
	err = h.over(ctx, func(ctx context.Context) error { release, err = h.Host.Lock(ctx, set, holder); return err })
	return func() {
		if h.Err() == nil {
			release()
		}
	}, err
}

func (h *farHost) Holders(ctx context.Context) (all []drivers.Holder, err error) {
	err = h.over(ctx, func(ctx context.Context) error { all, err = h.Host.Holders(ctx); return err })
	return all, err
}

func (h *farHost) Close() error {
	if h.Err() != nil {
		return nil
	}
	h.forget()
	h.end()
	return h.Host.Close()
}

// farDriver is a driver of a machine at the end of a link.
type farDriver struct {
	drivers.Driver
	h *farHost
}

func (d farDriver) List(ctx context.Context) (names []string, err error) {
	err = d.h.over(ctx, func(ctx context.Context) error { names, err = d.Driver.List(ctx); return err })
	return names, err
}

func (d farDriver) Observe(ctx context.Context, names ...string) (all []spec.Observed, err error) {
	err = d.h.over(ctx, func(ctx context.Context) error { all, err = d.Driver.Observe(ctx, names...); return err })
	return all, err
}

func (d farDriver) Apply(ctx context.Context, step spec.Step) error {
	return d.h.over(ctx, func(ctx context.Context) error { return d.Driver.Apply(ctx, step) })
}

func (d farDriver) Watch(ctx context.Context, changed func(string)) error {
	return d.h.over(ctx, func(ctx context.Context) error { return d.Driver.Watch(ctx, changed) })
}

// Unwrap makes what the driver can beside known to drivers.Find.
func (d farDriver) Unwrap() drivers.Driver { return d.Driver }

package driverstest

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// Host is an in-memory drivers.Host over Fakes. Probes pass until Probes says otherwise. It may be used from any goroutine.
type Host struct {
	Journal
	drivers []drivers.Driver
	s       *hostState
	mine    []func() // releases of the locks this value holds
	mu      sync.Mutex
}

// hostState is what outlives a host value.
type hostState struct {
	mu       sync.Mutex
	blobs    map[string][]byte
	programs *shelf
	holders  map[string]drivers.Holder
	probe    func(context.Context, string, spec.Health) error
	probes   map[string]int
	lacks    []*drivers.Unavailable
	uses     func(*spec.Sample)
	began    time.Time
}

var _ drivers.Host = (*Host)(nil)

// NewHost returns a host over these drivers, the best first; none means one Fake.
func NewHost(ds ...drivers.Driver) *Host {
	if len(ds) == 0 {
		ds = []drivers.Driver{NewFake()}
	}
	return &Host{drivers: ds, Journal: newJournal(), s: &hostState{
		blobs: map[string][]byte{}, programs: newShelf(), holders: map[string]drivers.Holder{}, probes: map[string]int{}, began: time.Now(),
	}}
}

// Reopen returns another host value over the same machine, as another process would have one.
func (h *Host) Reopen() *Host {
	ds := make([]drivers.Driver, len(h.drivers))
	for i, d := range h.drivers {
		ds[i] = d
		if f, ok := d.(*Fake); ok {
			ds[i] = f.Reopen()
		}
	}
	return &Host{drivers: ds, Journal: h.Journal, s: h.s}
}

// Fake returns the first driver, where it is a Fake, or decorates one; else it panics.
func (h *Host) Fake() *Fake {
	f, ok := drivers.Find[*Fake](h.drivers[0])
	if !ok {
		panic(fmt.Sprintf("driver %T is no fake", h.drivers[0]))
	}
	return f
}

// Probes sets what every probe comes to, by daemon; nil makes all pass.
func (h *Host) Probes(f func(ctx context.Context, daemon string, h spec.Health) error) {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	h.s.probe = f
}

// Probed returns how often daemon was probed.
func (h *Host) Probed(daemon string) int {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	return h.s.probes[daemon]
}

// Name is localhost.
func (h *Host) Name() string { return "localhost" }

// Driver returns the first driver of that kind.
func (h *Host) Driver(kind spec.DriverKind) (drivers.Driver, error) {
	var have []string
	for _, d := range h.drivers {
		if kind == d.Kind() || kind == spec.DriverAuto || kind == "" {
			return d, nil
		}
		have = append(have, string(d.Kind()))
	}
	return nil, fmt.Errorf("driver %s on localhost: there is only %s: %w", kind, strings.Join(have, ", "), drivers.ErrUnsupported)
}

// Lacks says that the machine lacks drivers that are better than those it has.
func (h *Host) Lacks(u ...*drivers.Unavailable) {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	h.s.lacks = u
}

// Gains gives the machine a driver that is better than those it has, as when systemd becomes available. Nobody may be using the machine meanwhile.
func (h *Host) Gains(d drivers.Driver) {
	h.drivers = append([]drivers.Driver{d}, h.drivers...)
	h.Lacks(slices.DeleteFunc(h.Unavailable(), func(u *drivers.Unavailable) bool { return u.Kind == d.Kind() })...)
}

// Unavailable returns what Lacks was told.
func (h *Host) Unavailable() []*drivers.Unavailable {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	return h.s.lacks
}

// Fallback returns of what Lacks was told what is better than kind.
func (h *Host) Fallback(kind spec.DriverKind) (missed []*drivers.Unavailable) {
	order := []spec.DriverKind{spec.DriverSystemd, spec.DriverCgroup, spec.DriverProcess}
	for _, u := range h.Unavailable() {
		if slices.Index(order, u.Kind) < slices.Index(order, kind) {
			missed = append(missed, u)
		}
	}
	return missed
}

// Drivers returns what NewHost got.
func (h *Host) Drivers() []drivers.Driver { return h.drivers }

// Probe comes to what Probes set.
func (h *Host) Probe(ctx context.Context, daemon string, check spec.Health) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	h.s.mu.Lock()
	h.s.probes[daemon]++
	f := h.s.probe
	h.s.mu.Unlock()
	if f == nil {
		return nil
	}
	return f(ctx, daemon, check)
}

// Has says whether there is such a content.
func (h *Host) Has(_ context.Context, digest string) (bool, error) {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	_, ok := h.s.blobs[digest]
	return ok, nil
}

// Put keeps content, which must have that digest.
func (h *Host) Put(_ context.Context, digest string, content []byte) error {
	if got := ContentDigest(content); got != digest {
		return fmt.Errorf("put content %s: it has digest %s: %w", digest, got, drivers.ErrPermanent)
	}
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	h.s.blobs[digest] = append([]byte{}, content...)
	return nil
}

// Get returns a content.
func (h *Host) Get(_ context.Context, digest string) ([]byte, error) {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	b, ok := h.s.blobs[digest]
	if !ok {
		return nil, fmt.Errorf("get content %s: %w", digest, drivers.ErrNotFound)
	}
	return append([]byte{}, b...), nil
}

// Logs copies the log that the daemon's simulated processes appended to; it knows no time and doesn't follow.
func (h *Host) Logs(_ context.Context, daemon string, w io.Writer, opts drivers.LogOptions) error {
	for _, d := range h.drivers {
		f, ok := drivers.Find[*Fake](d)
		if !ok {
			continue
		}
		text, ok := f.log(daemon)
		if !ok {
			continue
		}
		lines := strings.SplitAfter(text, "\n")
		if opts.Tail >= 0 {
			lines = lines[max(0, len(lines)-opts.Tail-1):]
		}
		_, err := io.WriteString(w, strings.Join(lines, ""))
		return err
	}
	return fmt.Errorf("logs of daemon %s: %w", daemon, drivers.ErrNotFound)
}

func (f *Fake) log(name string) (text string, ok bool) {
	f.w.do(func() {
		if d := f.w.daemons[name]; d != nil && d.stamp != nil {
			text, ok = string(f.w.files[logPath(&spec.Daemon{Metadata: d.stamp.Metadata, Spec: d.stamp.Spec})].Content), true
		}
	})
	return text, ok
}

// Lock takes the set's lock until release or Close.
func (h *Host) Lock(_ context.Context, set string, holder drivers.Holder) (func(), error) {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	if by, held := h.s.holders[set]; held {
		return nil, fmt.Errorf("lock set %s: it is held by %s (pid %d) since %s: %w", set, by.Command, by.PID, by.Since.Format("15:04:05"), drivers.ErrConflict)
	}
	holder.Set = set
	h.s.holders[set] = holder
	release := sync.OnceFunc(func() {
		h.s.mu.Lock()
		defer h.s.mu.Unlock()
		delete(h.s.holders, set)
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mine = append(h.mine, release)
	return release, nil
}

// Holders returns who holds a set.
func (h *Host) Holders(context.Context) (all []drivers.Holder, _ error) {
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	for _, x := range h.s.holders {
		all = append(all, x)
	}
	return all, nil
}

// Close releases the locks that this value holds, as the kernel does when a process ends.
func (h *Host) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, release := range h.mine {
		release()
	}
	h.mine = nil
	return nil
}

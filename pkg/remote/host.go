package remote

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// ConnectOptions say how a host is spoken to.
type ConnectOptions struct {
	// Name is how messages call the host.
	Name string
	// Ping is the interval of the signs of life. After three without one the link is given up, by both sides. Zero: 5 seconds.
	Ping time.Duration
}

// Host is the twin of a machine behind a link. Its methods may be called concurrently. What is asked once the link is lost, or cut off by that, fails with an error
// that wraps drivers.ErrUnreachable: a step that was under way then may have been done.
type Host struct {
	c       *conn
	said    *greeting
	drivers []drivers.Driver
}

var (
	_ drivers.Host   = (*Host)(nil)
	_ drivers.Linked = (*Host)(nil)
)

// Connect greets the agent at the other end of a stream and returns its machine; Close closes the stream then. ctx bounds the greeting: its end closes the stream. After any
// other failure the stream is the caller's, who may ask it what answered instead. Where nobody greets the error wraps drivers.ErrUnreachable, and drivers.ErrUnsupported where an agent answered with which this version can't speak. What it says of itself where it can't open its machine
// is an error that wraps drivers.ErrPermanent.
func Connect(ctx context.Context, stream io.ReadWriteCloser, o ConnectOptions) (*Host, error) {
	if o.Ping <= 0 {
		o.Ping = 5 * time.Second
	}
	leave := context.AfterFunc(ctx, func() { _ = stream.Close() })
	r := bufio.NewReaderSize(stream, 32<<10)
	said, err := greet(r, stream, o.Name, o.Ping)
	if !leave() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", ctx.Err(), err)
		}
		return nil, fmt.Errorf("greet the agent of host %s: %w", o.Name, err)
	}
	h := &Host{c: newConn(o.Name, stream, o.Ping), said: said}
	tidings := &told{}
	for _, d := range said.Drivers {
		h.drivers = append(h.drivers, &driver{c: h.c, facts: d, told: tidings})
	}
	h.c.start(r)
	return h, nil
}

func greet(r *bufio.Reader, w io.Writer, name string, ping time.Duration) (*greeting, error) {
	said, err := scanGreeting(r)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", err, drivers.ErrUnreachable)
	case said.Protocol != Protocol:
		return nil, fmt.Errorf("it is %s and speaks protocol %d, and this reconciler speaks %d: use the same version on both sides: %w",
			said.Facts.Version, said.Protocol, Protocol, drivers.ErrUnsupported)
	case said.Error != nil:
		return nil, fmt.Errorf("it can't open its machine: %w: %w", said.Error.unpack(), drivers.ErrPermanent)
	}
	b, err := json.Marshal(hello{Protocol: Protocol, Silence: (silences * ping).Milliseconds(), Host: name})
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(frame{kind: frameHello, body: b}.encode()); err != nil {
		return nil, fmt.Errorf("answer the agent: %w: %w", err, drivers.ErrUnreachable)
	}
	return said, nil
}

// Facts are what the agent said of its machine.
func (h *Host) Facts() Facts { return h.said.Facts }

// Done is closed once the link is lost, or the Host was closed.
func (h *Host) Done() <-chan struct{} { return h.c.done }

// Err says why Done was closed; nil before.
func (h *Host) Err() error {
	select {
	case <-h.c.done:
		return h.c.err
	default:
		return nil
	}
}

// Call asks for something that the agent knows beside what a drivers.Host is: see Local.Calls.
func (h *Host) Call(ctx context.Context, method string, params, result any) error {
	return h.c.do(ctx, callPrefix+method, params, result, nil)
}

// LookPath finds a program in the PATH of the agent's account. Where there is none the error wraps fs.ErrNotExist.
func (h *Host) LookPath(ctx context.Context, name string) (path string, err error) {
	err = h.c.do(ctx, "lookpath", name, &path, nil)
	return path, err
}

// Name is how messages call the host.
func (h *Host) Name() string { return h.c.name }

// Drivers returns the twins of the machine's drivers, the best first.
func (h *Host) Drivers() []drivers.Driver { return h.drivers }

// Driver returns the twin of the driver of that kind.
func (h *Host) Driver(kind spec.DriverKind) (drivers.Driver, error) {
	want, auto := kind, kind == "" || kind == spec.DriverAuto
	if auto {
		want = h.said.Best
	}
	var have []string
	for _, d := range h.drivers {
		if d.Kind() == want {
			return d, nil
		}
		have = append(have, string(d.Kind()))
	}
	var why strings.Builder
	for _, u := range h.said.Unavailable {
		if auto || u.Kind == kind {
			why.WriteString("; " + u.Error())
		}
	}
	if auto {
		return nil, fmt.Errorf("%s has no driver that could run a daemon%s: %w", h.Name(), why.String(), drivers.ErrUnsupported)
	}
	return nil, fmt.Errorf("driver %s isn't available on %s, which has %s%s; leave spec.driver out, or say auto, for the best there is: %w",
		kind, h.Name(), strings.Join(have, ", "), why.String(), drivers.ErrUnsupported)
}

// Unavailable says why the machine lacks what it lacks.
func (h *Host) Unavailable() []*drivers.Unavailable { return h.said.Unavailable }

// Fallback says why a daemon runs under kind there and not under a better driver.
func (h *Host) Fallback(kind spec.DriverKind) []*drivers.Unavailable { return h.said.Fallback[kind] }

// Probe does a health check from that machine.
func (h *Host) Probe(ctx context.Context, name string, check spec.Health) error {
	return h.c.do(ctx, "probe", probeParams{name, check}, nil, nil)
}

// Has says whether there is such a content.
func (h *Host) Has(ctx context.Context, digest string) (has bool, err error) {
	err = h.c.do(ctx, "has", digest, &has, nil)
	return has, err
}

// Put keeps a content there.
func (h *Host) Put(ctx context.Context, digest string, content []byte) error {
	return h.c.do(ctx, "put", putParams{digest, content}, nil, nil)
}

// Get returns a content, which has that digest whatever the far side says.
func (h *Host) Get(ctx context.Context, digest string) (content []byte, err error) {
	if err := h.c.do(ctx, "get", digest, &content, nil); err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(content); digest != "sha256:"+hex.EncodeToString(sum[:]) {
		return nil, fmt.Errorf("get content %s of host %s: what it sent is another content", digest, h.Name())
	}
	return content, nil
}

// Logs copies a daemon's log to w.
func (h *Host) Logs(ctx context.Context, name string, w io.Writer, o drivers.LogOptions) error {
	return h.c.do(ctx, "logs", logsParams{name, o}, nil, func(part []byte) error {
		_, err := w.Write(part)
		return err
	})
}

// Stats returns what daemons there have used. They come one by one, so that a host may have any number of them.
func (h *Host) Stats(ctx context.Context, q drivers.StatsQuery) (all []spec.Sample, err error) {
	err = h.c.do(ctx, "stats", q, nil, lines(func(line []byte) error {
		var s spec.Sample
		if err := json.Unmarshal(line, &s); err != nil {
			return fmt.Errorf("read what a daemon of host %s uses: %w", h.Name(), err)
		}
		all = append(all, s)
		return nil
	}))
	if err == nil && len(q.Names) > 0 && !slices.EqualFunc(all, q.Names, func(s spec.Sample, name string) bool { return s.Name == name }) {
		err = fmt.Errorf("read what daemons of host %s use: the agent answers for others than it was asked for: %w", h.Name(), drivers.ErrUnreachable)
	}
	if err != nil {
		return nil, err
	}
	return all, nil
}

// Statuses returns what the last looks came to.
func (h *Host) Statuses(ctx context.Context, names ...string) (all map[string]spec.Status, err error) {
	err = h.c.do(ctx, "statuses", names, &all, nil)
	return all, err
}

// SetStatus keeps what a look came to.
func (h *Host) SetStatus(ctx context.Context, s spec.Status) error {
	return h.c.do(ctx, "setstatus", s, nil, nil)
}

// maxMessage is how much of an event's message travels: whatever it is made of, it fits into a frame.
const maxMessage = 4 << 10

// Record appends an event, in the order of the calls, and doesn't wait for it. A message that is very long is cut.
func (h *Host) Record(e spec.Event) {
	if len(e.Message) > maxMessage {
		e.Message = strings.ToValidUTF8(e.Message[:maxMessage], "") + "…"
	}
	body, err := json.Marshal(e)
	if err != nil {
		return
	}
	if body, err = json.Marshal(request{Method: "record", Params: body}); err == nil {
		h.c.post(frame{kind: frameCall, body: body})
	}
}

// Events calls yield with the remembered events.
func (h *Host) Events(ctx context.Context, since time.Time, follow bool, yield func(spec.Event) bool) error {
	err := h.c.do(ctx, "events", eventsParams{since, follow}, nil, lines(func(line []byte) error {
		var e spec.Event
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("read an event of host %s: %w", h.Name(), err)
		}
		if !yield(e) {
			return errEnough
		}
		return nil
	}))
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// errEnough ends an answer that its reader has had enough of.
var errEnough = errors.New("enough")

// History returns the revisions of a daemon.
func (h *Host) History(ctx context.Context, name string) (all []spec.Revision, err error) {
	err = h.c.do(ctx, "history", name, &all, nil)
	return all, err
}

// Archive remembers a revision.
func (h *Host) Archive(ctx context.Context, r spec.Revision) error {
	return h.c.do(ctx, "archive", r, nil, nil)
}

// Lock takes an owner set's lock there, for as long as the link lives: the agent holds it. The holder's PID is the agent's then.
func (h *Host) Lock(ctx context.Context, set string, holder drivers.Holder) (release func(), err error) {
	var token int
	if err := h.c.do(ctx, "lock", lockParams{set, holder}, &token, nil); err != nil {
		return nil, err
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.c.ping)
		defer cancel()
		_ = h.c.do(ctx, "unlock", token, nil, nil) // a link that is lost frees it too
	}, nil
}

// Holders lists the live holders of owner sets there.
func (h *Host) Holders(ctx context.Context) (all []drivers.Holder, err error) {
	err = h.c.do(ctx, "holders", nil, &all, nil)
	return all, err
}

// Close ends the link. The agent finishes what it has in hand, and ends.
func (h *Host) Close() error {
	h.c.fail(errClosed)
	return nil
}

// driver is the twin of a driver.
type driver struct {
	c     *conn
	facts driverFacts
	known memory
	told  *told // that of all drivers of the host
}

var (
	_ drivers.Driver      = (*driver)(nil)
	_ drivers.Checker     = (*driver)(nil)
	_ drivers.Housekeeper = (*driver)(nil)
	_ drivers.Patient     = (*driver)(nil)
	_ drivers.Teller      = (*driver)(nil)
	_ drivers.Surveyor    = (*driver)(nil)
	_ drivers.Adopter     = (*driver)(nil)
)

func (d *driver) Kind() spec.DriverKind { return d.facts.Kind }
func (d *driver) StartsWait() bool      { return d.facts.Patient }

func (d *driver) List(ctx context.Context) (names []string, err error) {
	err = d.c.do(ctx, "list", driverParams{d.Kind()}, &names, nil)
	return names, err
}

// Apply puts the contents that the step needs, and has it done.
func (d *driver) Apply(ctx context.Context, s spec.Step) error {
	w := stepParams{d.Kind(), step{Step: s, Want: packDaemon(s.Want)}}
	w.Step.Step.Want = nil
	if s.Verb == spec.VerbFiles && s.Want != nil {
		for digest, content := range s.Want.Contents {
			var has bool
			err := d.c.do(ctx, "has", digest, &has, nil)
			if err == nil && !has {
				err = d.c.do(ctx, "put", putParams{digest, content}, nil, nil)
			}
			if err != nil {
				return fmt.Errorf("send a file content of daemon %s: %w", s.Name, err)
			}
		}
	}
	d.told.steps.Add(1) // what was told before is no longer so
	return d.c.do(ctx, "apply", w, nil, nil)
}

func (d *driver) Check(ctx context.Context, w *spec.Daemon) (lost []spec.Loss, err error) {
	err = d.c.do(ctx, "check", checkParams{d.Kind(), packDaemon(w)}, &lost, nil)
	return lost, err
}

func (d *driver) Housekeep(ctx context.Context) (busy bool, err error) {
	err = d.c.do(ctx, "housekeep", driverParams{d.Kind()}, &busy, nil)
	return busy, err
}

// Strangers returns what runs there beside the driver's daemons.
func (d *driver) Strangers(ctx context.Context) (all []drivers.Stranger, err error) {
	err = d.c.do(ctx, "strangers", driverParams{d.Kind()}, &all, nil)
	return all, err
}

// Inspect looks at what runs there and is to be taken over.
func (d *driver) Inspect(ctx context.Context, w *spec.Daemon, c spec.Candidate) (*spec.Takeover, error) {
	t := &spec.Takeover{}
	if err := d.c.do(ctx, "inspect", inspectParams{d.Kind(), packDaemon(w), c}, t, nil); err != nil {
		return nil, err
	}
	return t, nil
}

// maxLine is the longest line of an answer.
const maxLine = 1 << 20

// lines calls do with each line of what arrives in parts.
func lines(do func(line []byte) error) func(part []byte) error {
	var rest []byte
	return func(part []byte) error {
		rest = append(rest, part...)
		for {
			line, more, found := bytes.Cut(rest, []byte("\n"))
			switch {
			case !found && len(rest) > maxLine:
				return fmt.Errorf("read an answer: a line of more than %d bytes", maxLine)
			case !found:
				return nil
			}
			rest = more
			if err := do(line); err != nil {
				return err
			}
		}
	}
}

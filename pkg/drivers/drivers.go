// Package drivers is the contract between the loop and whatever runs a daemon: the Driver and Host interfaces, the errors they may return, and the
// parts that every driver shares. The loop knows neither driver nor distance; what it may rely on is written here and proven by driverstest.
//
// Nothing in this package or below it decides what should happen: drivers look and do. They restart nothing that they weren't told to
// restart, except where the platform owns restarts (systemd, launchd).
package drivers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"reconciler.dev/reconciler/pkg/spec"
)

// The kinds of failure that callers act on. Drivers wrap them with what was attempted, on which host and daemon, what was found and what to do next.
var (
	// ErrMoved: the daemon isn't as the step expected it. Nothing was done; observe and plan again.
	ErrMoved = errors.New("the daemon changed since it was looked at")
	// ErrPermanent: trying again without a change by the user can't help.
	ErrPermanent = errors.New("permanent")
	// ErrUnsupported: this driver or host can't do that. It implies that trying again can't help.
	ErrUnsupported = errors.New("unsupported")
	// ErrUnreachable: the host didn't answer. What runs there is unknown.
	ErrUnreachable = errors.New("unreachable")
	// ErrConflict: somebody else owns the name. Nothing was touched.
	ErrConflict = errors.New("conflict")
	// ErrNotFound: there is nothing of that name.
	ErrNotFound = errors.New("not found")
)

// Driver runs daemons in one way on one host. All methods may be called concurrently; steps of one name are serialised by the driver,
// also against other processes.
type Driver interface {
	// Kind is the word a manifest uses for this driver.
	Kind() spec.DriverKind
	// List returns the names that carry our stamp, sorted.
	List(ctx context.Context) ([]string, error)
	// Observe returns one Observed for each name, in the order of names, and changes nothing. A name that can't be looked at is Unknown
	// with a message, not an error; an error means that nothing could be looked at. Ask for many names in one call: cost is per call.
	Observe(ctx context.Context, names ...string) ([]spec.Observed, error)
	// Apply does one step and returns when it is done. It is idempotent: a step whose end is already reached does nothing and returns nil.
	// A cancelled ctx ends the waiting, not the daemon; the next Observe tells the truth.
	Apply(ctx context.Context, step spec.Step) error
	// Watch calls changed with a name whenever that daemon may have changed, and with "" once it is armed and whenever something may have been missed:
	// list and look at everything then. changed must not block. It returns ctx.Err() when ctx ends, or why it can watch no longer.
	Watch(ctx context.Context, changed func(name string)) error
}

// Host is one machine. The local one and the one behind SSH are twins.
type Host interface {
	// Name is how messages call it; "localhost" for this machine.
	Name() string
	// Driver returns the driver of that kind; for DriverAuto the best that this host has. An error wraps ErrUnsupported and lists what there is.
	Driver(kind spec.DriverKind) (Driver, error)
	// Drivers lists the drivers of this host, the best first. What is managed on the host is what they list together.
	Drivers() []Driver
	// Unavailable says of the drivers that this kind of machine may have and that this host lacks why it does, the best first.
	Unavailable() []*Unavailable
	// Fallback says why a daemon with driver auto runs under kind and not under a better driver: those of Unavailable that auto prefers to kind, the best first.
	Fallback(kind spec.DriverKind) []*Unavailable
	// Probe does one health check from the host and returns nil when it passed. The error says what was found.
	Probe(ctx context.Context, daemon string, h spec.Health) error
	// Has and Put keep contents by their digest, for a step and for an undo later.
	Has(ctx context.Context, digest string) (bool, error)
	Put(ctx context.Context, digest string, content []byte) error
	Get(ctx context.Context, digest string) ([]byte, error)
	// Programs are kept by their content as well.
	Programs
	// Logs copies the daemon's log to w, rotated files first, and with opts.Follow goes on until ctx ends.
	Logs(ctx context.Context, daemon string, w io.Writer, opts LogOptions) error
	// Stats returns a Sample of each daemon that q asks for, in the order of the names, or by name where it names none. A daemon that can't be looked at is Unknown, with a message; an
	// error means that nothing could be looked at. However many ask, a host is read once for an age that they accept.
	Stats(ctx context.Context, q StatsQuery) ([]spec.Sample, error)
	// Journal is what is remembered of daemons beside their stamps.
	Journal
	// Lock takes the owner set's lock for as long as this process lives, or until the returned release. A set that is held gives an error that
	// wraps ErrConflict and names the holder.
	Lock(ctx context.Context, set string, holder Holder) (release func(), err error)
	// Holders lists the live holders of owner sets.
	Holders(ctx context.Context) ([]Holder, error)
	// Close lets go of what the Host holds. Daemons live on.
	Close() error
}

// Journal is what a host remembers of daemons beside their stamps.
type Journal interface {
	// Statuses returns what the last looks came to, by name; names without one are absent from the map.
	Statuses(ctx context.Context, names ...string) (map[string]spec.Status, error)
	// SetStatus keeps what a look came to. One without conditions forgets what was kept.
	SetStatus(ctx context.Context, s spec.Status) error
	// Record appends an event. It is an aid to people, and never fails a step.
	Record(e spec.Event)
	// Events calls yield with the remembered events, oldest first, and with follow goes on until ctx ends.
	Events(ctx context.Context, since time.Time, follow bool, yield func(spec.Event) bool) error
	// History returns the revisions of a daemon, oldest first.
	History(ctx context.Context, name string) ([]spec.Revision, error)
	// Archive remembers a revision, durably, and forgets those beyond the limit. One that is remembered as Ready stays so, unless it Failed: it may be unwell now, and was good.
	Archive(ctx context.Context, r spec.Revision) error
}

// Holder is a live process that keeps an owner set.
type Holder struct {
	// ID is unique for each process that ever held a set.
	ID      string    `json:"id"`
	Set     string    `json:"set"`
	PID     int       `json:"pid"`
	Command string    `json:"command"`
	Since   time.Time `json:"since"`
}

// StatsQuery says what is wanted of Host.Stats.
type StatsQuery struct {
	// Names are the daemons; none: all that are managed on the host.
	Names []string `json:"names,omitempty"`
	// MaxAge is how old the figures may be; 0: they are read after the call began.
	MaxAge time.Duration `json:"maxAgeNs,omitempty"`
	// Ports asks for Sample.Ports, which costs a look at every open file of every process.
	Ports bool `json:"ports,omitempty"`
	// Bare asks for no figures, only for which processes there are, and Ports: it costs a fraction. Who answers may give more.
	Bare bool `json:"bare,omitempty"`
}

// LogOptions select log lines.
type LogOptions struct {
	Follow bool
	// Tail is the number of last lines to begin with; negative: all.
	Tail int
	// Bytes, where it isn't 0, is how much there may be of what was written before, at most; of more it is the end. A log that a platform keeps is bounded by Tail alone.
	Bytes int64
	// Since is the oldest time wanted; zero: any.
	Since time.Time
	// Previous selects what the instance before this one wrote.
	Previous bool
	// Later selects, of two copies that run, what the later one wrote, where what they wrote can be told apart; a file has it together.
	Later bool
}

// Refusal is the error for what a daemon must have, by cgroup.required or sandbox.required, and loses here. It wraps ErrUnsupported.
func Refusal(l spec.Loss) error {
	part, _, _ := strings.Cut(strings.TrimPrefix(l.Field, "spec."), ".")
	return fmt.Errorf("%s: %s, and %s.required is set: leave that out to run without, or see reconciler doctor for what mends this host: %w", l.Field, l.Reason, part, ErrUnsupported)
}

package web

import (
	"context"
	"io"
	"time"

	"reconciler.dev/reconciler/pkg/spec"
)

// View is what a run knows of the hosts and daemons that it keeps. Its methods may be called concurrently, and what they return is shared: nobody changes it.
//
// What a daemon, its program or its host can control (messages, reasons, log lines, events, what a diff shows) is as it came: whoever shows it escapes it. Secrets are in
// none of it.
type View interface {
	// Hosts are the hosts that are kept, sorted by name. It costs no I/O.
	Hosts() []Host
	// Daemons are the daemons that are kept, sorted by host and name, as the last looks found them. It costs no I/O.
	Daemons() []Daemon
	// Daemon is one of them; ok is false where there is none.
	Daemon(host, name string) (d Daemon, ok bool)
	// Changed returns how often something of Hosts or Daemons has changed, and a channel that is closed once that has grown. A Host or Daemon whose Seq is
	// not above a number that Changed returned before is as it was then. Who waits for the channel, and not in between, misses states and never the last one.
	Changed() (seq uint64, more <-chan struct{})

	// Measure has what daemons use read anew on each host where the figures are older than age, and returns once that is done or ctx has ended. However many ask, a host is
	// read once for an age that they accept. A host that can't be read leaves its daemons without figures.
	Measure(ctx context.Context, age time.Duration)
	// Expect is for who takes the figures as they are, and comes again: of those who come at regular intervals it learns when that is, and has the figures read by then, so that they
	// are no older than age. Those of others are of when somebody asked before, or of the last PastEvery. It waits for nothing but the first figures of a host that was never read,
	// until ctx has ended.
	Expect(ctx context.Context, age time.Duration)
	// Usage is what a daemon used when its host was read last, which is every PastEvery at least; ok is false where that isn't known. It costs no I/O.
	Usage(host, name string) (u Usage, ok bool)
	// Past is what it used in the last hour, oldest first, PastPoints at most. It costs no I/O.
	Past(host, name string) []Point

	// Diff is what is wanted against what is there, as the verb diff prints it; empty where there is no difference.
	Diff(ctx context.Context, host, name string) (string, error)
	// Events are the last n of a daemon, oldest first.
	Events(ctx context.Context, host, name string, n int) ([]spec.Event, error)
	// Logs writes the last lines of what a daemon wrote, LogBytes at most: of more than that the end.
	Logs(ctx context.Context, host, name string, lines int, w io.Writer) error

	// Healthy returns nil as long as the run works, and else what is wrong with it.
	Healthy() error
	// Ready returns nil once each host was reached once and its daemons were all looked at; and until then, which hosts are missing, and why.
	Ready() error
}

// The bounds of a View.
const (
	// PastEvery is the time between two Points, and PastPoints is how many there are: an hour's.
	PastEvery  = 15 * time.Second
	PastPoints = 240
	// LogBytes bounds what Logs writes.
	LogBytes = 256 << 10
)

// NotReachedYet is the trouble with a host that wasn't tried yet.
const NotReachedYet = "not reached yet"

// Host is one that is kept.
type Host struct {
	// Name is as messages call it, "localhost" for this machine.
	Name string `json:"name"`
	// Reachable says that its daemons are kept now. Where they aren't, Why is the trouble in a word or a few, as in "unreachable" or "held", and Message says more. Before it
	// was tried Why is NotReachedYet.
	Reachable bool   `json:"reachable"`
	Why       string `json:"why,omitempty"`
	Message   string `json:"message,omitempty"`
	// Since is when Reachable or Why changed last.
	Since time.Time `json:"since"`
	// Lost counts how often the link to it was lost.
	Lost int `json:"lost"`
	// Drivers are those that it has, the best first; none are known of a host that was never reached.
	Drivers []spec.DriverKind `json:"drivers,omitempty"`
	// Address is where other machines reach it, a name or a numeric address without a port; empty for this machine, and where it isn't known.
	Address string `json:"address,omitempty"`
	Seq     uint64 `json:"seq"`
}

// Daemon is one that is kept, as its last look found it. That of a host that can't be reached is as it was found before: Stale says so, and nobody knows how it is now.
type Daemon struct {
	// Host is its Host's Name.
	Host string `json:"host"`
	// Observed is without digests of secrets.
	spec.Observed
	// Phase is what it does in one word, as the verb get shows it: Running, Starting, Stopping, Stopped, Restarting, Failed, Absent or Unknown.
	Phase string `json:"phase"`
	// Word is how it is in one word, as kstatus has them: Current, InProgress, Failed, Terminating, NotFound, Unknown or Paused.
	Word       string           `json:"word"`
	Conditions []spec.Condition `json:"conditions"`
	// Fallback says why it doesn't run under a better driver, a sentence for each of those; none where its manifest asks for the one it has.
	Fallback []string `json:"fallback,omitempty"`
	// LastExit is how it ended last; nil where it never did, as far as is known.
	LastExit *spec.Exit `json:"lastExit,omitempty"`
	// Seen is when that look was.
	Seen  time.Time `json:"seen"`
	Stale bool      `json:"stale,omitempty"`
	Seq   uint64    `json:"seq"`
}

// Usage is what a daemon has used, and how fast since its host was read before. What isn't known is nil, and never zero.
type Usage struct {
	spec.Sample
	Rates spec.Rate `json:"rates"`
	// Read is when its host was read, by the clock of this machine.
	Read time.Time `json:"read"`
}

// Point is a moment of the last hour. What isn't known is nil: of a daemon that didn't run, or a host that couldn't be read.
type Point struct {
	// At is by the clock of this machine.
	At time.Time `json:"at"`
	// CPU is the share of one core since the point before: 1.5 is one and a half cores.
	CPU *float64 `json:"cpu,omitempty"`
	// Memory is in bytes, at that moment.
	Memory *int64 `json:"memory,omitempty"`
}

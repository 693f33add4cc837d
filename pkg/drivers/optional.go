package drivers

import (
	"context"
	"io"

	"reconciler.dev/reconciler/pkg/spec"
)

// Checker is a Driver that can tell, before anything is touched, whether it could start a daemon. Decorators pass it on.
type Checker interface {
	// Check returns what the daemon asks for and this driver can't enforce here, or why it can't be started at all: an error that wraps
	// ErrPermanent, ErrUnsupported, or ErrConflict where its place is somebody else's. It changes nothing.
	Check(ctx context.Context, d *spec.Daemon) ([]spec.Loss, error)
}

// Housekeeper is a Driver with work that no daemon's change triggers, as the rotation of logs. The loop calls it at every resync, and soon again
// where there was something to do.
type Housekeeper interface {
	// Housekeep does what has come due. busy says that there was something, and so may be again before long. An error says what couldn't be done; the rest
	// was done.
	Housekeep(ctx context.Context) (busy bool, err error)
}

// Tree is a Driver that can tell which processes of this machine are a daemon's.
type Tree interface {
	// PIDs returns all processes that live of the instance of name that runs, its main process and workers that have left it alike; none where nothing runs.
	PIDs(ctx context.Context, name string) ([]int, error)
}

// Placer is a Driver that can tell at little cost what runs, and where.
type Placer interface {
	// Places returns a Place for each name, in their order, or, where there is none, of all daemons that List returns. A daemon that can't be looked at is Unknown, with a message; an error
	// means that nothing could be looked at. It changes nothing.
	Places(ctx context.Context, names ...string) ([]Place, error)
}

// Place is where an instance of a daemon is that runs.
type Place struct {
	Name string
	// State is Running, Exited, Absent or Unknown; Message says why it is that. Of one that is being started or stopped it is Running where there are processes of it.
	State   spec.State
	Message string
	// Instance is the ID of the instance that runs.
	Instance string
	// Cgroup is as in Observed, Dir the directory of it; empty where it has none of its own. Then PIDs are its processes, those included that have ended and whose parent hasn't noticed.
	Cgroup, Dir string
	PIDs        []int
	// Outgoing is where the instance before this one is, as long as both run (see spec.Observed); nil where there is no such.
	Outgoing *Place
}

// Logger is a Driver whose daemons' output doesn't go to the log file of the tool's own, as that of units goes to the journal.
type Logger interface {
	// Logs is as Host.Logs. handled is false where this daemon's output goes to a file after all; then nothing was written.
	Logs(ctx context.Context, name string, w io.Writer, opts LogOptions) (handled bool, err error)
	// LogPlace is where the output of a daemon with that stamp goes, for people; empty where it goes to a file.
	LogPlace(s *spec.Stamp) string
}

// Booter is a Driver whose platform starts daemons at boot by itself, as systemd does.
type Booter interface {
	// AtBoot says whether the platform is to start name at boot, durably. Nothing happens to what runs, and where there is no such daemon nothing at all. The
	// caller holds the daemon's lock.
	AtBoot(ctx context.Context, name string, start bool) error
}

// DriftAtBoot is the Field of the Drift that a Booter reports of a daemon that wouldn't be started at boot.
const DriftAtBoot = "unit.enabled"

// DriftStopped is the Field of the Drift of a daemon that somebody stopped by the platform's own means, behind our back.
const DriftStopped = "unit.active"

// Patient is a Driver whose starts are the work of the platform. Many of them may wait for that at once.
type Patient interface {
	// StartsWait is true where most of a start is waiting.
	StartsWait() bool
}

// Knower is a Driver that can tell whether there is anything of a name at less cost than by a look.
type Knower interface {
	// Knows tells of each name, in their order, whether Observe would find the daemon in another state than Absent. It changes nothing. Ask for many names in one call: cost is per call
	// where nothing is known of them.
	Knows(ctx context.Context, names ...string) ([]bool, error)
}

// Teller is a Driver far away, whose Watch brings with a name how that daemon is, so that nobody has to ask for it.
type Teller interface {
	// Told returns what Watch has just brought of name, once. ok is false where it brought nothing, or where that may be so no longer: a step was begun since, or some
	// time went by. Then Observe knows.
	Told(name string) (o spec.Observed, ok bool)
}

// Linked is a Host behind a link that can be lost.
type Linked interface {
	// Done is closed once the link is lost, or the Host was closed. Whatever is asked of the Host from then on fails, with an error that wraps ErrUnreachable.
	Done() <-chan struct{}
	// Err says why Done was closed; nil before. It wraps ErrUnreachable where the link was lost.
	Err() error
}

// Listening is a Driver that holds the sockets of daemons that don't run, so that connections wait for the next start.
type Listening interface {
	// Listens tells at little cost whether sockets may be held for name; it is asked at every stop of every daemon. It changes nothing.
	Listens(ctx context.Context, name string) (bool, error)
	// Unlisten closes those that are held for name, which a user has stopped: who connects is to be refused, and not to wait for nobody. The next start opens them again. The caller
	// holds the daemon's lock.
	Unlisten(ctx context.Context, name string) error
}

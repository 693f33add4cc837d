// Package reconcile makes what is wanted so, and keeps it so, on one host: it plans (Plan is the only planner, and pure), applies the plan's steps
// through the host's drivers, probes health, orders by dependency, prunes, rolls back, and in a run does all of that again whenever something may have
// changed.
//
// It must never do anything to a daemon without our stamp, take unknown for absent, or know which driver or how far away a host is.
package reconcile

import (
	"context"
	"time"

	"github.com/go-logr/logr"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// Options are what an Engine needs to know of its caller.
type Options struct {
	// Owner is the set that the caller acts for, and its holder id where it is a run.
	Owner spec.Owner
	// Tool is the version that goes into stamps.
	Tool string
	// Force takes over names that another set or a live run owns.
	Force bool
	// Report is called, from any goroutine but never twice at once, for everything a person wants to follow. May be nil.
	Report func(Progress)
	// Concurrency is how many daemons are started or stopped at once, until that is done, and how many are checked. Zero: 16 are worked on, which waiting for one to end isn't, and as
	// many are checked as a Prober does.
	Concurrency int
	// LookupEnv finds the environment variables that secrets come from, for a daemon that is started again without its manifest.
	LookupEnv func(string) (string, bool)
	// Log gets V(0) for changes made and V(1) for looks.
	Log logr.Logger
	// Meter counts what the engine does; may be nil.
	Meter Meter
}

// Meter counts what an engine does. Its methods are called from any goroutine, and don't block.
type Meter interface {
	// Looked is called after each look of a loop, at that many daemons in one call; err is why nothing could be looked at.
	Looked(daemons int, took time.Duration, err error)
	// Stepped is called after each step. An err that wraps drivers.ErrMoved is no failure: it is planned anew.
	Stepped(verb spec.Verb, took time.Duration, err error)
}

// Progress is one thing that happened to one daemon on the way.
type Progress struct {
	Name    string
	Phase   string // "start", "stop", "ready", "waiting", "failed", "rolled back", ...
	Message string
}

// Action is the one word for what an apply does to a daemon, printed as daemon/NAME WORD.
type Action string

// The actions.
const (
	Unchanged   Action = "unchanged"
	Created     Action = "created"
	Configured  Action = "configured"
	Healed      Action = "healed"
	Waiting     Action = "waiting"
	Paused      Action = "paused"
	Pruned      Action = "pruned"
	Deleted     Action = "deleted"
	Restarted   Action = "restarted"
	Stopped     Action = "stopped"
	Started     Action = "started"
	RolledBack  Action = "rolled back"
	Installed   Action = "installed"
	Uninstalled Action = "uninstalled"
	Refused     Action = "refused"
	Failed      Action = "failed"
	Skipped     Action = "skipped" // something was to be done, and wasn't, because of others
	// RolloutPaused and RolloutResumed: changes of the daemon aren't rolled out any more, or are again.
	RolloutPaused  Action = "rollout paused"
	RolloutResumed Action = "rollout resumed"
	Frozen         Action = "frozen" // unknown: nothing is done
)

// Item is what is planned for one daemon, or what became of it.
type Item struct {
	Name string
	// Want is nil for a daemon that is to go.
	Want     *spec.Daemon
	Observed spec.Observed
	Action   Action
	// Changes say that the manifest changed; Drift is that somebody touched what is live.
	Changes []spec.Change
	Drift   []spec.Drift
	Lost    []spec.Loss
	// Driver is what runs it, or shall; empty for a daemon that is to go.
	Driver spec.DriverKind
	// Fallback says why that isn't a better driver, where the manifest leaves the choice to us.
	Fallback []*drivers.Unavailable
	// Move is set where another driver shall run it from now on, though its manifest doesn't say so.
	Move  *Move
	Steps []spec.Step
	// Reason is a sentence; Err is set where Action is Refused, Failed or RolledBack.
	Reason string
	Err    error

	restart bool           // the running instance is to be replaced
	grace   *time.Duration // instead of what was applied
}

// Move is a change of driver that the host is the reason of, and not the manifest.
type Move struct {
	From   spec.DriverKind `json:"from"`
	To     spec.DriverKind `json:"to"`
	Reason string          `json:"reason"`
}

// Review is a plan for a whole set, before anything is done.
type Review struct {
	Items []Item // in the order of the manifests, what is to be pruned last
	// Guard is set where the prune guard stops the prune; it lists what would have gone. The rest of the review stands.
	Guard error
	// Share is what the prune comes to, whether the guard stops it or not.
	Share Share
}

// PruneOptions say what apply may remove.
type PruneOptions struct {
	// Enabled removes what the same set applied before and no longer wants.
	Enabled bool
	// Guard is how many may go at most. Zero: ten, and not more than half of the set. Negative: any number.
	Guard int
	// Elsewhere is how many daemons the same manifests declare for other hosts. Where they declare some, all that this host has may go.
	Elsewhere int
}

// ApplyOptions say how far an apply goes.
type ApplyOptions struct {
	// Wait waits until every daemon is Ready, at most Timeout.
	Wait    bool
	Timeout time.Duration
	// Rollback puts the previous revision back where a change doesn't become Ready.
	Rollback bool
	// Settle has what was started become Ready even without Wait, as before something is pruned. Where the review prunes that holds anyway.
	Settle bool
}

// DeleteOptions say how daemons are deleted.
type DeleteOptions struct {
	// Grace is used instead of the daemons' own grace periods; nil: theirs.
	Grace *time.Duration
	// Timeout bounds the whole; zero: DefaultTimeout.
	Timeout time.Duration
}

// RunOptions say how a run keeps its set.
type RunOptions struct {
	Prune PruneOptions
	// Permit, where it isn't nil, is asked in place of the prune guard whether this host's share may go: ok, or the objection. Neither means that it isn't known
	// yet; it is asked again when the source says that something changed.
	Permit func(s Share) (ok bool, objection error)
	// Resync is how often everything is looked at though nothing seems to have happened. Zero: ten minutes.
	Resync time.Duration
	// Looks has everything looked at now for each func received, and calls it, from any goroutine, once every daemon was looked at and what came of that was dealt
	// with; daemons is how many they were. Where the run ends or the link is lost before that it is never called. May be nil.
	Looks <-chan func(daemons int)
	// Holder says who runs, for those who find the set held; its ID is the engine's Owner.Holder.
	Holder drivers.Holder
	// Loaded is called once the manifests were loaded and everything is watched; may be nil.
	Loaded func()
	// Passed is called once, from any goroutine, when every daemon that was loaded then was looked at and what came of that was dealt with; may be nil.
	Passed func()
	// Audience is told how daemons are; may be nil.
	Audience Audience
}

// View is all that is known of one daemon, for get and describe.
type View struct {
	Observed   spec.Observed
	Conditions []spec.Condition
	// Holder is the id of the live run that keeps it, empty for none.
	Holder string
	// Fallback says why it doesn't run under a better driver, where its manifest leaves the choice to us.
	Fallback []*drivers.Unavailable
}

// Audience is told what a run finds. Its methods are called from any goroutine, though in order for each daemon; they don't block, and don't call back.
type Audience interface {
	// Seen is told of each look at a daemon that the run keeps or prunes what it came to, with the conditions that were kept.
	Seen(v View)
	// LetGo is told that the run has nothing to do with a daemon any more: it is pruned, or no longer in the manifests. One that is to be pruned is seen again until it is gone.
	LetGo(name string)
}

// Source is where the wanted set of a run comes from. Both methods may be called at once.
type Source interface {
	// Load returns the whole set, or an error and nothing of it.
	Load(ctx context.Context) ([]*spec.Daemon, error)
	// Watch calls changed once it is armed and whenever Load may return something else, until ctx ends; then it returns ctx.Err(). Any other error says why
	// it can watch no longer. changed doesn't block.
	Watch(ctx context.Context, changed func()) error
}

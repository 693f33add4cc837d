package reconcile

import (
	"fmt"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// Input is everything that Plan may know of one daemon.
type Input struct {
	Name string
	// Want is nil for a daemon that is to go.
	Want     *spec.Daemon
	Observed spec.Observed
	// Driver is the driver that Want resolves to on this host.
	Driver spec.DriverKind
	// MoveReason says why that isn't the driver that has the daemon now, where the manifest says auto.
	MoveReason string
	// Owner acts. An empty Set acts within whatever set the daemon belongs to.
	Owner spec.Owner
	// HeldBy names the live run that keeps the daemon's set, where that is not the owner itself; HolderID is its id.
	HeldBy, HolderID string
	// Force overrules another owner, and files that stand in the way.
	Force bool
	// Manual says that a person asked just now: no backoff, and the count of restarts in a row starts anew.
	Manual bool
	// RestartOf is the id of the instance that somebody asked to be replaced.
	RestartOf string
	// Unhealthy says why the health check wants the running instance replaced; empty where it doesn't.
	Unhealthy string
	// Ready says that the present instance has proven itself: the one before it, where there is one, may go.
	Ready bool
	// Abandon says why the present instance is given up, where the one before it still runs; empty where it isn't.
	Abandon string
	// Halt says why it shall not run though it is wanted, as after a change that failed; empty where it may.
	Halt string
	// Halted says that it was seen to already that it doesn't.
	Halted bool
	// Blocked says which dependency isn't met yet (or, for one that is to go, which dependent still lives); empty where nothing blocks.
	Blocked string
}

// Decision is what Plan comes to.
type Decision struct {
	Action  Action
	Steps   []spec.Step
	Changes []spec.Change
	// Move is set where the driver changes and the manifest isn't why.
	Move *Move
	// Reason is a sentence for people.
	Reason string
	// Rejected says why what the manifest asks for isn't what is planned for: it was tried, and failed. Plan leaves it empty.
	Rejected string
	// Held says why it isn't planned for yet, where a user wants that. Plan leaves it empty.
	Held string
	// LookAgain is when to plan again though nothing happens; zero: only when something happens.
	LookAgain time.Duration
	// Err is why nothing may be done: it wraps ErrConflict, or ErrNotFound where what was to be restarted has gone.
	Err error
}

// Plan says what to do about one daemon now. It is pure, and the only planner: diff, dry runs, apply, run, delete and prune are this function, stopped
// at different places. It plans nothing for what is unknown, and nothing that touches what doesn't carry our stamp.
func Plan(in Input) Decision {
	p := planner{Input: in, stamp: in.Observed.Stamp}
	if d, over := p.frozen(); over {
		return d
	}
	if in.Want == nil {
		return p.remove()
	}
	if in.Want.Digest != "" && p.stamp != nil && p.stamp.Digest != in.Want.Digest {
		p.changes = p.sameDriver(spec.Diff(*p.stamp, in.Want))
	}
	d := p.keep()
	d.Changes = p.changes
	return d
}

// sameDriver makes a change of the driver's name cost nothing where both names mean the driver that has the daemon, as auto may.
func (p *planner) sameDriver(changes []spec.Change) []spec.Change {
	for i, c := range changes {
		if c.Field == "spec.driver" && p.Driver == p.Observed.Driver {
			changes[i].Class = spec.Live
		}
	}
	return changes
}

// busyLook is when to look again at a daemon that another process of ours is just changing. The watch usually tells earlier.
const busyLook = 250 * time.Millisecond

// frozenLook is when to look again at what couldn't be looked at.
const frozenLook = 15 * time.Second

// notYet is why a daemon is made.
const notYet = "it doesn't exist yet"

type planner struct {
	Input
	stamp   *spec.Stamp
	changes []spec.Change
}

// frozen answers where nothing may be done whatever is wanted.
func (p *planner) frozen() (Decision, bool) {
	o := p.Observed
	switch {
	case o.State == spec.Unknown:
		return Decision{Action: Frozen, Reason: "its state is unknown: " + o.Message, LookAgain: frozenLook}, true
	case o.Foreign != "":
		return p.refuse("%s stands there and doesn't carry our stamp; rename the daemon, or remove that first", o.Foreign), true
	case p.stamp != nil && p.Owner.Holder != "" && p.stamp.Owner.TakenFrom == p.Owner.Holder:
		return p.refuse("set %s took it over by force; this run lets go of it", p.stamp.Owner.Set), true
	case p.HeldBy != "" && !p.Force:
		return p.refuse("%s keeps it; change the manifests that it reads, stop it, or take the daemon over with --force", p.HeldBy), true
	case p.Want != nil && p.Owner.Set == "" && p.stamp == nil:
		err := fmt.Errorf("daemon %s: there is nothing of that name any more, and nothing says which set it belongs to: %w", p.Name, drivers.ErrNotFound)
		return Decision{Action: Refused, Reason: "there is nothing of that name any more", Err: err}, true
	case p.otherSet() && !p.Force:
		return p.refuse("it belongs to set %q, not %q; use --set %[1]s, or take it over with --force", p.stamp.Owner.Set, p.Owner.Set), true
	case o.State == spec.Starting || o.State == spec.Stopping:
		return Decision{Action: Waiting, Reason: "another reconciler is just changing it", LookAgain: busyLook}, true
	}
	return Decision{}, false
}

func (p *planner) refuse(format string, args ...any) Decision {
	err := fmt.Errorf("daemon %s: %s: %w", p.Name, fmt.Sprintf(format, args...), drivers.ErrConflict)
	return Decision{Action: Refused, Reason: fmt.Sprintf(format, args...), Err: err}
}

func (p *planner) otherSet() bool {
	return p.stamp != nil && p.Owner.Set != "" && p.stamp.Owner.Set != p.Owner.Set
}

// takeover says whether the stamp has to change hands though nothing else of it does.
func (p *planner) takeover() bool {
	return p.otherSet() || p.stamp != nil && p.Force && p.HolderID != "" && p.stamp.Owner.TakenFrom != p.HolderID
}

// restamp plans that the stamp is written, and nothing else but what puts a program back to its place.
func (p *planner) restamp(a Action, why string) Decision {
	return Decision{Action: a, Reason: why, Steps: append(p.install(why), p.step(spec.VerbStamp, why))}
}

// remove plans for a daemon that is to go.
func (p *planner) remove() Decision {
	switch {
	case p.Observed.State == spec.Absent:
		return Decision{Action: Unchanged, Reason: "there is nothing of that name"}
	case p.Blocked != "":
		return Decision{Action: Waiting, Reason: p.Blocked}
	}
	why := "it is no longer wanted"
	d := Decision{Action: Deleted, Reason: why}
	if p.lives() {
		d.Steps = append(d.Steps, p.step(spec.VerbStop, why))
	}
	d.Steps = append(d.Steps, p.step(spec.VerbRemove, why))
	return d
}

// keep plans for a daemon that is wanted.
func (p *planner) keep() Decision {
	switch {
	case p.Observed.Paused != nil:
		return p.pause()
	case p.Halt != "" && len(p.changes) == 0 && p.Observed.Outgoing == nil:
		return p.halt()
	case p.Observed.State == spec.Absent:
		return p.start(Created, notYet, 0, false)
	case p.Observed.Driver != p.Driver:
		return p.move()
	case p.Observed.Outgoing != nil:
		return p.handOver()
	case len(p.changes) > 0:
		return p.change()
	case p.alive():
		return p.running()
	default:
		return p.ended()
	}
}

// pause keeps a daemon stopped that a user stopped, and notes what start shall start.
func (p *planner) pause() Decision {
	d := Decision{Action: Paused, Reason: "a user stopped it; start starts it again"}
	if p.lives() {
		d.Steps = append(d.Steps, p.step(spec.VerbStop, "a user stopped it"))
	}
	if p.stamp == nil || p.Observed.Driver != p.Driver {
		return d // another driver makes it anew when it is started again
	}
	if len(p.changes) > 0 || p.takeover() {
		why := "the manifest changed while it is stopped"
		d.Steps = append(append(d.Steps, p.files(why)...), p.step(spec.VerbStamp, why))
	}
	return d
}

// halt ends a daemon that shall not run for now.
func (p *planner) halt() Decision {
	if p.lives() || p.Observed.Restarting || !p.Halted {
		stop := p.step(spec.VerbStop, p.Halt)
		stop.Stay = true
		return Decision{Action: Stopped, Reason: p.Halt, Steps: []spec.Step{stop}}
	}
	return Decision{Action: Unchanged, Reason: p.Halt}
}

// change plans a changed manifest by the dearest class among the changes.
func (p *planner) change() Decision {
	class := spec.Live
	for _, c := range p.changes {
		class = max(class, c.Class)
	}
	why := "the manifest changed: " + fields(p.changes)
	d := Decision{Action: Configured, Reason: why}
	switch {
	case class == spec.Recreated:
		return p.recreate(why)
	case !p.alive() && (class != spec.Live || p.shallStart()):
		return p.start(Configured, why, 0, false)
	case class == spec.Restarted:
		return p.replace(Configured, why, 0, false)
	case class == spec.Reloaded:
		d.Steps = append(p.files(why), p.step(spec.VerbReload, why), p.step(spec.VerbStamp, why))
	case len(p.Observed.Drift) > 0 && p.alive():
		return p.mend(Configured, why)
	case len(p.Observed.Drift) > 0:
		d.Steps = append(p.files(why), p.step(spec.VerbStamp, why))
	default:
		return p.restamp(Configured, why)
	}
	return d
}

// running plans for a live daemon whose manifest didn't change.
func (p *planner) running() Decision {
	in := p.Observed.Instance
	switch {
	case in != nil && p.RestartOf == in.ID:
		return p.replace(Restarted, "a restart was asked for", 0, false)
	case len(p.Observed.Drift) > 0:
		return p.mend(Healed, "drift: "+drifts(p.Observed.Drift))
	case p.Unhealthy != "":
		return p.replaceUnhealthy()
	case p.takeover():
		return p.restamp(Configured, "taken over by force")
	}
	return Decision{Action: Unchanged}
}

// replaceUnhealthy restarts an unhealthy daemon, no sooner after its start than the backoff says.
func (p *planner) replaceUnhealthy() Decision {
	in, attempts := p.Observed.Instance, p.attempts()
	if wait := p.delay(attempts) - in.Up; wait > 0 {
		return Decision{Action: Waiting, Reason: fmt.Sprintf("unhealthy (%s); restart in %s", p.Unhealthy, wait.Round(time.Millisecond)), LookAgain: wait}
	}
	return p.replace(Healed, "unhealthy: "+p.Unhealthy, attempts+1, true)
}

// ended plans for a daemon that has a stamp and no process.
func (p *planner) ended() Decision {
	how := Ending(p.Observed)
	if !p.shallStart() {
		return p.rest(how)
	}
	if p.Observed.Restarting && !p.Manual {
		return Decision{Action: Waiting, Reason: how + "; " + string(p.Observed.Driver) + " starts it again by itself"}
	}
	in := p.Observed.Instance
	if p.Manual || in == nil || in.Exit == nil || in.Exit.Asked || p.RestartOf == in.ID {
		return p.start(Healed, how, 0, false)
	}
	attempts := p.attempts()
	if wait := p.delay(attempts) - in.Exit.Since; wait > 0 {
		return Decision{Action: Waiting, Reason: fmt.Sprintf("%s; restart %d in a row in %s", how, attempts+1, wait.Round(time.Millisecond)), LookAgain: wait}
	}
	return p.start(Healed, how, attempts+1, true)
}

// rest plans for a daemon that has ended and shall stay so.
func (p *planner) rest(how string) Decision {
	switch {
	case len(p.Observed.Drift) > 0:
		why := "drift: " + drifts(p.Observed.Drift)
		d := Decision{Action: Healed, Reason: why, Steps: p.files(why)}
		if p.drifted(spec.Live) {
			d.Steps = append(d.Steps, p.step(spec.VerbStamp, why))
		}
		return d
	case p.takeover():
		return p.restamp(Configured, "taken over by force")
	}
	return Decision{Action: Unchanged, Reason: fmt.Sprintf("%s, and its restart policy is %s", how, p.Want.Spec.Restart.Policy)}
}

// shallStart says whether the restart policy wants a daemon started that has ended.
func (p *planner) shallStart() bool {
	in := p.Observed.Instance
	if in == nil || in.Exit == nil || in.Exit.Asked || p.RestartOf == in.ID {
		return true
	}
	switch p.Want.Spec.Restart.Policy {
	case spec.RestartNever:
		return false
	case spec.RestartOnFailure:
		return !in.Exit.Known || in.Exit.Code != 0 || in.Exit.Signal != ""
	default:
		return true
	}
}

// attempts is how many restarts in a row came before this one.
func (p *planner) attempts() int {
	return Attempts(p.Want.Spec.Restart.Backoff, p.Observed.Instance)
}

func (p *planner) delay(attempts int) time.Duration {
	return Delay(p.Want.Spec.Restart.Backoff, p.Name, attempts)
}

func (p *planner) alive() bool { return p.Observed.State == spec.Running }

// lives says whether any instance of it may be alive.
func (p *planner) lives() bool {
	return p.alive() || p.Observed.Outgoing != nil && !p.Observed.Outgoing.Spent()
}

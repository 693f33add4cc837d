package spec

import "time"

// Daemon is a manifest made effective: defaults filled in, paths absolute, secrets and file contents read. It is what Plan wants and
// what a driver starts. It is not changed after Resolve made it, so any number of goroutines may read it.
type Daemon struct {
	Metadata
	// Spec is complete; it holds digests where the manifest named a secret or a file content. Its HealthURL is empty.
	Spec Spec
	// Digest is Digest(Metadata, Spec): equal digests mean that nothing changed.
	Digest string
	// Secrets are the values behind Spec.Env's fromFile and fromEnv, by variable.
	Secrets map[string]Secret
	// Contents are the contents of Spec.Files by their digest.
	Contents map[string][]byte
	// Program is the program that Spec.Install names; nil where it names none, or where the host has it.
	Program *Program `json:"-"`
	// Slot is set for a driver on one of two copies of the daemon: what goes into the copy's stamp.
	Slot *Slotted
	// Source is where the manifest stands, FILE:LINE, for messages.
	Source string
}

// Stamp is what we leave on a managed thing: what was applied, and by whom. A thing without a stamp is never touched.
type Stamp struct {
	Metadata `json:"metadata"`
	// Spec is the effective spec, without secret values and file contents.
	Spec Spec `json:"spec"`
	// Digest is the digest of what was applied.
	Digest string `json:"digest"`
	// Owner is who applied it.
	Owner Owner `json:"owner"`
	// Tool is the version of reconciler that wrote the stamp.
	Tool string `json:"tool"`
	// Generation counts the changes of the spec, from 1.
	Generation int64 `json:"generation"`
	// AppliedAt is when this generation was applied.
	AppliedAt time.Time `json:"appliedAt"`
	// Slot is set on each of two copies of a daemon, for the drivers.
	Slot *Slotted `json:"slot,omitempty"`
}

// Owner is the owner set that a daemon belongs to, and who acts for it.
type Owner struct {
	// Set is the owner set; prune never looks beyond it.
	Set string `json:"set"`
	// Holder is the id of the run that keeps the set; empty for a one-time apply.
	Holder string `json:"holder,omitempty"`
	// TakenFrom is the id of the run that a forced apply took this daemon from; that run lets go of it.
	TakenFrom string `json:"takenFrom,omitempty"`
}

// State is what is live now.
type State string

// The states. Unknown is never a synonym of Absent: nothing is done to an Unknown daemon.
const (
	Absent   State = "Absent"   // nothing of that name carries our stamp
	Starting State = "Starting" // a live process of ours is just starting it
	Running  State = "Running"
	Stopping State = "Stopping" // a live process of ours is just stopping it
	Exited   State = "Exited"   // stamped, no process
	Unknown  State = "Unknown"  // could not be found out; Message says why
)

// Observed is what a driver found of one daemon. A driver makes it without changing anything.
type Observed struct {
	Name    string     `json:"name"`
	State   State      `json:"state"`
	Message string     `json:"message,omitempty"` // why it is Unknown
	Driver  DriverKind `json:"driver,omitempty"`
	// Stamp is nil where State is Absent, and may be where it is Unknown.
	Stamp *Stamp `json:"stamp,omitempty"`
	// Instance is the running process or the last one; nil where none was ever started.
	Instance *Instance `json:"instance,omitempty"`
	// Outgoing is the instance before Instance, which goes on until that one is Ready; nil where there is none, or nothing is left of it. It may have ended.
	Outgoing *Instance `json:"outgoing,omitempty"`
	// Slot is what $(SLOT) is in Instance.
	Slot int `json:"slot,omitempty"`
	// Paused is set while a user's stop is remembered.
	Paused *Pause `json:"paused,omitempty"`
	// Held is set while a user wants no change of it rolled out.
	Held *Pause `json:"held,omitempty"`
	// Foreign says what stands in the name's place without our stamp; it is never touched.
	Foreign string `json:"foreign,omitempty"`
	// Drift lists what somebody changed behind our back.
	Drift []Drift `json:"drift,omitempty"`
	// Lost lists what the spec asks for and this driver doesn't enforce.
	Lost []Loss `json:"lost,omitempty"`
	// Restarting says that the platform is about to start it again by itself (systemd's auto-restart): Plan leaves that to it.
	Restarting bool `json:"restarting,omitempty"`
	// Cgroup is the path of its cgroup below the mount of cgroup v2, as in /rbee.slice/worker/0; empty where it has none of its own.
	Cgroup string `json:"cgroup,omitempty"`
	// Limits are what the kernel enforces now, read back from it, by field, as in spec.cgroup.memoryLimit; in the manifest's notation.
	Limits []Limit `json:"limits,omitempty"`
}

// Limit is one limit as the kernel has it.
type Limit struct {
	Field string `json:"field"`
	Value string `json:"value"`
}

// Instance is one process of a daemon, from its start to its end.
type Instance struct {
	// ID is unique for every start.
	ID string `json:"id"`
	// PID, StartTicks (clock ticks since boot, /proc/PID/stat field 22) and BootID are the identity of the main process.
	PID        int    `json:"pid,omitempty"`
	StartTicks uint64 `json:"startTicks,omitempty"`
	BootID     string `json:"bootID,omitempty"`
	// StartedAt is wall clock, for people.
	StartedAt time.Time `json:"startedAt"`
	// Up is how long it has run, or ran where that is known, by a clock that no one sets.
	Up time.Duration `json:"up,omitempty"`
	// Generation is the stamp's when it was started: a lower one runs an older spec.
	Generation int64 `json:"generation"`
	// SpecDigest is the digest it was started with.
	SpecDigest string `json:"specDigest,omitempty"`
	// Restarts counts the restarts of this daemon after an end that nobody asked for.
	Restarts int `json:"restarts,omitempty"`
	// Attempts counts those in a row, without a stable spell between; the backoff grows with it.
	Attempts int `json:"attempts,omitempty"`
	// LogStart is where in all that was ever written to the daemon's log its output begins, in bytes; LastLogStart is that of the instance before.
	LogStart     int64 `json:"logStart,omitempty"`
	LastLogStart int64 `json:"lastLogStart,omitempty"`
	// Pending is how what runs differs from what its stamp says, where it was taken over while it ran: its next start makes it so.
	Pending []Drift `json:"pending,omitempty"`
	// Exit is how it ended; nil while it runs.
	Exit *Exit `json:"exit,omitempty"`
	// Last is how the instance before this one ended.
	Last *Exit `json:"last,omitempty"`
}

// Spent tells whether nothing comes of an instance any more: it never began, or it has ended as it was asked to.
func (i *Instance) Spent() bool { return i.ID == "" || i.Exit != nil && i.Exit.Asked }

// Exit is how a process ended.
type Exit struct {
	// Known is false where the kernel told nobody: Code and Signal mean nothing then.
	Known  bool   `json:"known"`
	Code   int    `json:"code,omitempty"`
	Signal string `json:"signal,omitempty"`
	// Asked says that we stopped it.
	Asked bool `json:"asked,omitempty"`
	// At is when it was seen; Since is how long ago that is by a clock that no one sets, filled in by Observe.
	At    time.Time     `json:"at"`
	Since time.Duration `json:"-"`
	// OOMKilled says that the kernel killed it for its memory limit.
	OOMKilled bool `json:"oomKilled,omitempty"`
}

// Pause is a user's stop, remembered until start.
type Pause struct {
	At time.Time `json:"at"`
	By string    `json:"by,omitempty"`
}

// Drift is one difference between what was applied and what is live.
type Drift struct {
	Field string `json:"field"`
	Want  string `json:"want"`
	Have  string `json:"have"`
	// Class is what putting it right costs: Live (a Stamp does it, and the process isn't touched), Reloaded (the config files are written
	// again and reread) or Restarted.
	Class Class `json:"class"`
}

// Loss is one thing that the spec asks for and the driver can't enforce here.
type Loss struct {
	Field  string `json:"field"`
	Reason string `json:"reason"`
}

// Verb is what a step does.
type Verb string

// The verbs, each idempotent.
const (
	VerbStamp     Verb = "Stamp"     // write the stamp; the process is not touched
	VerbInstall   Verb = "Install"   // put the program at its place; it is on the host by then
	VerbUninstall Verb = "Uninstall" // take away what Install put there, of a daemon that doesn't run
	VerbFiles     Verb = "Files"     // write the config files
	VerbStart     Verb = "Start"     // start it where no process of it is alive; writes the stamp
	VerbReload    Verb = "Reload"    // make it reread its files
	VerbStop      Verb = "Stop"      // end its whole tree; the stamp stays
	VerbRemove    Verb = "Remove"    // remove what is left of a stopped daemon: its files and its stamp
	VerbPause     Verb = "Pause"     // remember that a user stopped it
	VerbResume    Verb = "Resume"    // forget that
	VerbHold      Verb = "Hold"      // remember that a user wants no change of it rolled out
	VerbRelease   Verb = "Release"   // forget that
	VerbRetire    Verb = "Retire"    // end the instance before the present one, and take away what is left of it
	VerbAdopt     Verb = "Adopt"     // take over a process that runs already, and leave it running; writes the stamp
	VerbAbandon   Verb = "Abandon"   // end the present instance, and take away what is left of it: the one before goes on
)

// Step is one change of one daemon. Plan makes it, a driver applies it.
type Step struct {
	Verb Verb
	Name string
	// Reason is a sentence for people: why this step.
	Reason string
	// Want is the daemon to stamp, write or start; nil for Stop, Remove, Pause and Resume.
	Want *Daemon
	// Owner and Generation go into the stamp. Of a Stop only Owner.TakenFrom does, where it isn't empty, before anything is stopped: the run that
	// is named there would start the daemon again at once.
	Owner      Owner
	Generation int64
	// Tool is the version of reconciler that goes into the stamp.
	Tool string
	// Force lets Files write over a file that we didn't write.
	Force bool
	// Instance is the ID of the instance the step was planned against, running or ended, empty for none. A driver that finds another
	// one returns ErrMoved and does nothing.
	Instance string
	// Restart says that a Start follows an end that nobody asked for; Attempts is then the count to record.
	Restart  bool
	Attempts int
	// Beside has a Start leave the instance that runs, which the step was planned against, where it is.
	Beside bool
	// Adopt says which process, for Adopt; nil otherwise.
	Adopt *Candidate
	// Stop says how, for Stop.
	Stop Stop
	// Stay has a Stop see to it that nothing but a Start starts the daemon again: not a boot, nor somebody who connects. Its sockets are closed.
	Stay bool
	// Driver is the driver that the step is for.
	Driver DriverKind
	// By is who asked, for Pause.
	By string
}

// Condition is one aspect of a daemon's state, as Kubernetes has them.
type Condition struct {
	Type               ConditionType   `json:"type"`
	Status             ConditionStatus `json:"status"`
	Reason             string          `json:"reason"`
	Message            string          `json:"message,omitempty"`
	LastTransitionTime time.Time       `json:"lastTransitionTime"`
	ObservedGeneration int64           `json:"observedGeneration,omitempty"`
}

// ConditionType names a condition.
type ConditionType string

// ConditionStatus is True, False or Unknown.
type ConditionStatus string

// The conditions. Reconciling and Stalled are True when something is abnormal, as kstatus has it.
const (
	Ready       ConditionType = "Ready"
	Reconciling ConditionType = "Reconciling"
	Stalled     ConditionType = "Stalled"

	True             ConditionStatus = "True"
	False            ConditionStatus = "False"
	ConditionUnknown ConditionStatus = "Unknown"
)

// Status is what the last look at a daemon came to. It is kept beside the stamp, for those who ask while no one looks.
type Status struct {
	Name       string      `json:"name"`
	Conditions []Condition `json:"conditions"`
	// Instance is the instance the conditions speak of.
	Instance string `json:"instance,omitempty"`
	// Restarts is that instance's.
	Restarts int `json:"restarts,omitempty"`
	// Holder is the id of the run that wrote it, empty for a one-time apply.
	Holder string    `json:"holder,omitempty"`
	At     time.Time `json:"at"`
}

// Event is something that happened to a daemon, or to a host as one that keeps daemons on others saw it.
type Event struct {
	At time.Time `json:"at"`
	// Name is the daemon's; empty where it happened to a host.
	Name string `json:"name"`
	// Host is the host that it happened to, where it is about no daemon.
	Host    string `json:"host,omitempty"`
	Type    string `json:"type"`   // Normal or Warning
	Reason  string `json:"reason"` // in CamelCase
	Message string `json:"message,omitempty"`
	// Count is how often it happened, where that is more than once, and First when it happened first; At is when it did last.
	Count int       `json:"count,omitempty"`
	First time.Time `json:"firstAt,omitzero"`
}

// Revision is one generation of a daemon as history keeps it.
type Revision struct {
	Stamp
	// Ready says that this revision was seen Ready.
	Ready bool `json:"ready,omitempty"`
	// Failed says why this revision was given up on, in the place of which another one came or was left; empty where it wasn't.
	Failed string `json:"failed,omitempty"`
}

// StillReady says whether r, which was seen Ready, is the same revision as again, and isn't given up on there.
func (r Revision) StillReady(again Revision) bool {
	return r.Ready && again.Failed == "" && r.Generation == again.Generation && r.Digest == again.Digest && r.AppliedAt.Equal(again.AppliedAt)
}

// Secret is a value that formats, marshals and logs as "(secret)".
type Secret struct{ value string }

// NewSecret wraps a value.
func NewSecret(v string) Secret { return Secret{v} }

// Reveal returns the value, for the one place that hands it to the daemon.
func (s Secret) Reveal() string { return s.value }

// String never returns the value.
func (Secret) String() string { return "(secret)" }

// GoString never returns the value.
func (Secret) GoString() string { return "(secret)" }

// MarshalText never returns the value.
func (Secret) MarshalText() ([]byte, error) { return []byte("(secret)"), nil }

package main

import (
	"maps"
	"strings"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/spec"
)

// list is what -o json and -o yaml print: a List as kubectl has it. Its fields are a promise to programs; none is renamed or removed within v1.
type list[T any] struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Items      []T    `json:"items"`
}

func listOf[T any](items []T) list[T] {
	if items == nil {
		items = []T{}
	}
	return list[T]{APIVersion: spec.APIVersion, Kind: "List", Items: items}
}

// object is one daemon for programs: the DaemonSpec that was applied, and what is known of it now.
type object struct {
	spec.DaemonSpec
	Status status `json:"status"`
}

// The phases.
const (
	phaseStopped    = "Stopped"    // it ended as it should, was stopped, or was never started
	phaseFailed     = "Failed"     // it ended as it should not, and runs no more
	phaseRestarting = "Restarting" // it ended, and its platform starts it again by itself
)

// status is what is known of a daemon now. Times are wall clock, RFC 3339.
type status struct {
	// Phase is Running, Starting, Stopping, Stopped, Restarting, Failed, Absent or Unknown.
	Phase string `json:"phase"`
	// Message says why the phase is Unknown, or what stands in the daemon's place.
	Message string          `json:"message,omitempty"`
	Driver  spec.DriverKind `json:"driver,omitempty"`
	// Fallback says why a daemon with driver auto doesn't run under a better driver, and what mends that.
	Fallback []*drivers.Unavailable `json:"fallback,omitempty"`
	// Service and Instance make its place in the tree of cgroups; Service is its name where its manifest gives neither.
	Service  string `json:"service,omitempty"`
	Instance string `json:"instance,omitempty"`
	// Cgroup is the path of its cgroup below the mount of cgroup v2; empty where it has none of its own.
	Cgroup string `json:"cgroup,omitempty"`
	Host   string `json:"host"`
	PID    int    `json:"pid,omitempty"`
	// PIDs are all of its processes, the main one first, and Ports where their own sockets listen. Of two copies they are those of both. One that isn't there isn't known: Missing says why.
	PIDs  []int       `json:"pids,omitzero"`
	Ports []spec.Port `json:"ports,omitzero"`
	// Health is Healthy, Unhealthy, Starting or Unknown; empty where nothing runs, or there is no health check.
	Health string `json:"health,omitempty"`
	// Since is when the phase began.
	Since     *time.Time `json:"since,omitempty"`
	StartedAt *time.Time `json:"startedAt,omitempty"`
	// Restarts counts the restarts after an end that nobody asked for.
	Restarts int       `json:"restarts"`
	LastExit *lastExit `json:"lastExit,omitempty"`
	// Outgoing is there while two copies run side by side: all else but PIDs and Ports is about the new one.
	Outgoing *outgoing `json:"outgoing,omitempty"`
	// Generation is the spec's; ObservedGeneration is that of the instance that runs or ran last.
	Generation         int64  `json:"generation"`
	ObservedGeneration int64  `json:"observedGeneration"`
	Digest             string `json:"digest,omitempty"`
	// Set is the owner set, Holder the id of the live run that keeps it, Paused the stop that a user asked for.
	Set    string      `json:"set,omitempty"`
	Holder string      `json:"holder,omitempty"`
	Paused *spec.Pause `json:"paused,omitempty"`
	Limits *limits     `json:"limits,omitempty"`
	// Lost is all that the spec asks for and the driver doesn't enforce here, limits and others.
	Lost  []spec.Loss  `json:"lost,omitempty"`
	Drift []spec.Drift `json:"drift,omitempty"`
	// Missing says of fields why they aren't known.
	Missing    []spec.Loss      `json:"missing,omitempty"`
	Conditions []spec.Condition `json:"conditions"`
}

// lastExit is how the daemon ended last. Neither code nor signal is there where the kernel told nobody.
type lastExit struct {
	Code   *int      `json:"code,omitempty"`
	Signal string    `json:"signal,omitempty"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// The reasons of a lastExit.
const (
	exitCompleted = "Completed" // exit status 0
	exitStopped   = "Stopped"   // we stopped it
	exitFailed    = "Error"     // another exit status, or a signal
	exitOOM       = "OOMKilled" // the kernel killed it for its memory limit
	exitUnknown   = "Unknown"   // the kernel told nobody
)

// limits are the limits asked for, by field: those that are enforced with their values, as read back from the kernel where it can tell, and those that aren't, with
// the reason.
type limits struct {
	Asked    map[string]string `json:"asked"`
	Enforced map[string]string `json:"enforced"`
	Lost     map[string]string `json:"lost"`
}

// makeObject shows a view to programs. Digests of secrets are left out: a short secret could be guessed from one.
func makeObject(host string, v reconcile.View) object {
	o := v.Observed
	obj := object{DaemonSpec: spec.DaemonSpec{APIVersion: spec.APIVersion, Kind: spec.Kind, Metadata: spec.Metadata{Name: o.Name}}}
	st := &obj.Status
	*st = status{
		Phase: phase(o), Message: o.Message, Driver: o.Driver, Fallback: v.Fallback, Cgroup: o.Cgroup, Host: host, Holder: v.Holder, Paused: o.Paused, Drift: o.Drift, Lost: o.Lost,
		LastExit: exitOf(o), Outgoing: outgoingOf(o), Conditions: v.Conditions, Health: healthOf(v), Since: sinceOf(o),
	}
	if o.Foreign != "" && st.Message == "" {
		st.Message = o.Foreign
	}
	if st.Conditions == nil {
		st.Conditions = []spec.Condition{}
	}
	if s := o.Stamp; s != nil {
		obj.Metadata, obj.Spec = s.Metadata, public(s.Spec)
		st.Generation, st.Digest, st.Set = s.Generation, s.Digest, s.Owner.Set
		st.Limits = limitsOf(s.Spec, o)
		st.Service, st.Instance = placeNames(s.Name, s.Spec.Cgroup)
	}
	if in := o.Instance; in != nil {
		st.ObservedGeneration, st.Restarts = in.Generation, in.Restarts
		if in.Exit == nil {
			st.PID, st.StartedAt = in.PID, &in.StartedAt
		}
	}
	return obj
}

// public is a spec as a manifest has it, without the digests of its secrets.
func public(s spec.Spec) spec.Spec {
	s = spec.Unplaced(s)
	s.Env = maps.Clone(s.Env)
	for k, v := range s.Env {
		v.Digest = ""
		s.Env[k] = v
	}
	return s
}

// phase is the one word for what is live.
func phase(o spec.Observed) string {
	if o.State != spec.Exited {
		return string(o.State)
	}
	switch e := exitOf(o); {
	case o.Restarting && o.Paused == nil:
		return phaseRestarting
	case o.Paused != nil || e == nil || e.Reason == exitCompleted || e.Reason == exitStopped:
		return phaseStopped
	}
	return phaseFailed
}

// exitOf is how the instance ended, or the one before it where it runs.
func exitOf(o spec.Observed) *lastExit {
	if o.Instance == nil {
		return nil
	}
	e := o.Instance.Exit
	if e == nil {
		e = o.Instance.Last
	}
	if e == nil {
		return nil
	}
	last := &lastExit{Signal: e.Signal, At: e.At}
	if e.Known && e.Signal == "" {
		last.Code = &e.Code
	}
	switch {
	case e.Asked:
		last.Reason = exitStopped
	case e.OOMKilled:
		last.Reason = exitOOM
	case !e.Known:
		last.Reason = exitUnknown
	case e.Code == 0 && e.Signal == "":
		last.Reason = exitCompleted
	default:
		last.Reason = exitFailed
	}
	return last
}

// limitsOf says what becomes of the limits that s asks for; nil where it asks for none.
func limitsOf(s spec.Spec, o spec.Observed) *limits {
	l := &limits{Asked: map[string]string{}, Enforced: map[string]string{}, Lost: map[string]string{}}
	for name, r := range s.Rlimits {
		l.Asked["rlimits."+name] = r.String()
	}
	if g := s.Cgroup; g != nil {
		for name, value := range cgroupLimits(g) {
			l.Asked["cgroup."+name] = value
		}
	}
	maps.Copy(l.Enforced, l.Asked)
	for _, have := range o.Limits {
		l.Enforced[strings.TrimPrefix(have.Field, "spec.")] = have.Value
	}
	for _, loss := range o.Lost {
		field := strings.TrimPrefix(loss.Field, "spec.")
		if !strings.HasPrefix(field, "cgroup") && !strings.HasPrefix(field, "rlimits") {
			continue
		}
		l.Lost[field] = loss.Reason
		delete(l.Enforced, field)
	}
	if len(l.Asked)+len(l.Lost)+len(l.Enforced) == 0 {
		return nil
	}
	return l
}

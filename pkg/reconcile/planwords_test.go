package reconcile

import (
	"crypto/sha256"
	"fmt"
	"time"

	"reconciler.dev/reconciler/pkg/spec"
)

// What a daemon may be declared to be, besides what manifest makes.

func files(content string) func(*spec.Daemon) {
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(content)))
	return func(d *spec.Daemon) {
		d.Spec.Files = []spec.File{{Path: "/etc/web.conf", Digest: digest}}
		d.Contents = map[string][]byte{digest: []byte(content)}
	}
}

func reloads(d *spec.Daemon) { d.Spec.Reload = &spec.Reload{Signal: "SIGHUP"} }

func program(content string) func(*spec.Daemon) {
	return func(d *spec.Daemon) {
		d.Spec.Install = &spec.Install{From: "web", Digest: "sha256:" + content}
		d.Spec.Binary = "/var/lib/reconciler/bin/" + content + "/web"
	}
}

func owner(name string) func(*spec.Daemon) {
	return func(d *spec.Daemon) {
		i := *d.Spec.Install
		i.Owner, d.Spec.Install = name, &i
	}
}

func label(v string) func(*spec.Daemon) {
	return func(d *spec.Daemon) { d.Labels = map[string]string{"tier": v} }
}

func slice(name string) func(*spec.Daemon) {
	return func(d *spec.Daemon) { d.Spec.Cgroup = &spec.Cgroup{Slice: name} }
}

func by(kind spec.DriverKind) func(*spec.Daemon) {
	return func(d *spec.Daemon) { d.Spec.Driver = kind }
}

func stopsBy(s spec.Signal) func(*spec.Daemon) {
	return func(d *spec.Daemon) { d.Spec.Stop.Signal = s }
}

// What of it may be found.

type finding = func(*spec.Observed)

// applied is a daemon of set default that was applied and runs, once whatever the findings say is so.
func applied(d *spec.Daemon, fs ...finding) spec.Observed {
	o := spec.Observed{
		Name: d.Name, State: spec.Running, Driver: spec.DriverProcess,
		Stamp:    &spec.Stamp{Metadata: d.Metadata, Spec: d.Spec, Digest: d.Digest, Owner: spec.Owner{Set: "default"}, Generation: 3},
		Instance: &spec.Instance{ID: "one", PID: 100, Up: time.Hour, Generation: 3, SpecDigest: d.Digest},
	}
	for _, f := range fs {
		f(&o)
	}
	return o
}

func nothing(name string) spec.Observed { return spec.Observed{Name: name, State: spec.Absent} }

func state(s spec.State) finding { return func(o *spec.Observed) { o.State = s } }

// ended is an end that long ago, after the daemon was up for a second.
func ended(how spec.Exit, ago time.Duration) finding {
	return func(o *spec.Observed) {
		how.Since = ago
		o.State, o.Instance.Exit, o.Instance.Up = spec.Exited, &how, time.Second
	}
}

func attempts(n int) finding { return func(o *spec.Observed) { o.Instance.Attempts = n } }

func up(d time.Duration) finding { return func(o *spec.Observed) { o.Instance.Up = d } }

func neverStarted(o *spec.Observed) { o.State, o.Instance = spec.Exited, nil }

func paused(o *spec.Observed) { o.Paused = &spec.Pause{By: "alice"} }

func drifted(o *spec.Observed) {
	o.Drift = []spec.Drift{{Field: "spec.files[/etc/web.conf]", Class: spec.Reloaded}}
}

// tampered is what somebody changed in the platform's own settings, and what putting it right costs.
func tampered(c spec.Class) finding {
	return func(o *spec.Observed) { o.Drift = append(o.Drift, spec.Drift{Field: "unit", Class: c}) }
}

func restarting(o *spec.Observed) { o.Restarting = true }

func ofSet(set string) finding { return func(o *spec.Observed) { o.Stamp.Owner.Set = set } }

func takenFrom(holder string) finding {
	return func(o *spec.Observed) { o.Stamp.Owner.TakenFrom = holder }
}

func foreign(o *spec.Observed) { o.Foreign = "a unit file" }

var (
	exit0  = spec.Exit{Known: true}
	exit1  = spec.Exit{Known: true, Code: 1}
	killed = spec.Exit{Known: true, Signal: "SIGKILL"}
	lost   = spec.Exit{}
	asked  = spec.Exit{Known: true, Signal: "SIGTERM", Asked: true}
)

// How somebody may ask.

type asking = func(*Input)

func byHand(in *Input)  { in.Manual = true }
func forced(in *Input)  { in.Force = true }
func restart(in *Input) { in.RestartOf = "one" }
func unwell(in *Input)  { in.Unhealthy = "connection refused" }
func blocked(in *Input) { in.Blocked = "waits for db to be Ready" }
func kept(in *Input)    { in.HeldBy, in.HolderID = `"reconciler run" (pid 7)`, "run-7" }
func anySet(in *Input)  { in.Owner = spec.Owner{} }

func asRun(id string) asking { return func(in *Input) { in.Owner.Holder = id } }

func driver(k spec.DriverKind) asking { return func(in *Input) { in.Driver = k } }

package reconcile

import (
	"fmt"
	"slices"
	"strings"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// step makes one step of this plan, for the driver that it concerns.
func (p *planner) step(verb spec.Verb, reason string) spec.Step {
	s := spec.Step{Verb: verb, Name: p.Name, Reason: reason, Driver: p.Driver, Force: p.Force, Owner: p.Owner}
	s.Instance = instanceID(p.Observed)
	switch verb {
	case spec.VerbStop, spec.VerbRemove, spec.VerbRetire, spec.VerbAbandon:
		s.Driver = p.Observed.Driver
		s.Stop = p.stop()
		if p.Force {
			s.Owner.TakenFrom = p.HolderID
		}
		return s
	}
	s.Want, s.Generation = p.Want, 1
	if p.stamp != nil {
		s.Generation = p.stamp.Generation
		if len(p.changes) > 0 {
			s.Generation++
		}
		if s.Owner.Set == "" {
			s.Owner.Set = p.stamp.Owner.Set
		}
		if p.Force {
			s.Owner.TakenFrom = p.HolderID
		}
	}
	return s
}

// stop is how the live daemon is asked to end: as what was applied says, for that is what runs.
func (p *planner) stop() spec.Stop {
	if p.stamp != nil {
		return p.stamp.Spec.Stop
	}
	return p.Want.Spec.Stop
}

// files puts on the host what the daemon is made of: the program where one is to be installed and isn't, as far as that is known, and the config files where there
// are any, or were.
func (p *planner) files(reason string) []spec.Step {
	steps := p.install(reason)
	if len(p.Want.Spec.Files) == 0 && (p.stamp == nil || len(p.stamp.Spec.Files) == 0) {
		return steps
	}
	return append(steps, p.step(spec.VerbFiles, reason))
}

// install puts the program at its place where it is new, was changed, or somebody touched it.
func (p *planner) install(reason string) []spec.Step {
	if p.Want.Spec.Install == nil {
		return nil
	}
	const where = "spec.install."
	changed := slices.ContainsFunc(p.changes, func(c spec.Change) bool { return strings.HasPrefix(c.Field, where) })
	touched := slices.ContainsFunc(p.Observed.Drift, func(d spec.Drift) bool { return strings.HasPrefix(d.Field, where) })
	if p.stamp != nil && p.Observed.Driver == p.Driver && !changed && !touched {
		return nil
	}
	return []spec.Step{p.step(spec.VerbInstall, reason)}
}

// start plans the start of a daemon, unless a dependency blocks it.
func (p *planner) start(a Action, why string, attempts int, restart bool) Decision {
	if p.Blocked != "" {
		return Decision{Action: Waiting, Reason: p.Blocked}
	}
	return Decision{Action: a, Reason: why, Steps: p.starting(why, attempts, restart)}
}

func (p *planner) starting(why string, attempts int, restart bool) []spec.Step {
	var steps []spec.Step
	if p.stamp == nil || len(p.changes) > 0 || len(p.Observed.Drift) > 0 {
		steps = p.files(why)
	}
	s := p.step(spec.VerbStart, why)
	s.Attempts, s.Restart = attempts, restart
	return append(steps, s)
}

// replace plans that a running daemon is stopped and started. Where a dependency blocks the start, it runs on until then. The files come first: one that
// can't be written leaves the old instance running.
//
// Where the manifest says that the new instance is started first, it is started beside the running one, which goes when handOver says so; but not where that one is unwell: it may
// hold what the new one needs.
func (p *planner) replace(a Action, why string, attempts int, restart bool) Decision {
	d := p.start(a, why, attempts, restart)
	switch n := len(d.Steps); {
	case n == 0:
	case p.Want.Spec.Slots() && p.alive() && !restart:
		d.Steps[n-1].Beside = true
	default:
		d.Steps = slices.Insert(d.Steps, n-1, p.step(spec.VerbStop, why))
	}
	return d
}

// recreate plans that a daemon is removed and made anew, perhaps by another driver. The files come first here too: one that can't be written leaves the old
// instance running, and one that somebody edited is ours again, so that the removal takes it away.
func (p *planner) recreate(why string) Decision {
	if p.Blocked != "" {
		return Decision{Action: Waiting, Reason: p.Blocked}
	}
	d := Decision{Action: Configured, Reason: why}
	files := p.files(why)
	for _, s := range files {
		s.Driver = p.Observed.Driver
		d.Steps = append(d.Steps, s)
	}
	if p.lives() {
		d.Steps = append(d.Steps, p.step(spec.VerbStop, why))
	}
	d.Steps = append(d.Steps, p.step(spec.VerbRemove, why))
	for _, s := range append(files, p.step(spec.VerbStart, why)) {
		s.Instance = "" // none is left after the removal
		d.Steps = append(d.Steps, s)
	}
	return d
}

// move plans that another driver takes a daemon over: it is removed by the one and made anew by the other, so there are never two copies.
func (p *planner) move() Decision {
	m := &Move{From: p.Observed.Driver, To: p.Driver, Reason: p.MoveReason}
	if slices.ContainsFunc(p.changes, func(c spec.Change) bool { return c.Field == "spec.driver" }) {
		return p.recreate(fmt.Sprintf("driver %s instead of %s, as the manifest says", m.To, m.From))
	}
	d := p.recreate(fmt.Sprintf("driver %s instead of %s: %s", m.To, m.From, m.Reason))
	d.Move = m
	return d
}

// mend puts right what somebody changed behind our back, at the cost of the dearest of it.
func (p *planner) mend(a Action, why string) Decision {
	class := spec.Live
	for _, d := range p.Observed.Drift {
		class = max(class, d.Class)
	}
	switch class {
	case spec.Live:
		return p.restamp(a, why)
	case spec.Reloaded:
		return p.repair(a, why)
	}
	return p.replace(a, why, 0, false)
}

// repair puts drifted files back and makes the daemon read them, by a restart where it can't reload.
func (p *planner) repair(a Action, why string) Decision {
	if p.Want.Spec.Reload == nil {
		return p.replace(a, why, 0, false)
	}
	d := Decision{Action: a, Reason: why, Steps: append(p.files(why), p.step(spec.VerbReload, why))}
	if len(p.changes) > 0 || p.takeover() || p.drifted(spec.Live) {
		d.Steps = append(d.Steps, p.step(spec.VerbStamp, why))
	}
	return d
}

// drifted says whether there is drift of that class.
func (p *planner) drifted(c spec.Class) bool {
	return slices.ContainsFunc(p.Observed.Drift, func(d spec.Drift) bool { return d.Class == c })
}

// wasStopped is how a daemon ended that we stopped.
const wasStopped = "it was stopped"

// Ending says in words how the last instance of a daemon ended.
func Ending(o spec.Observed) string {
	if o.Instance == nil {
		return "it was never started"
	}
	e := o.Instance.Exit
	byHand := slices.IndexFunc(o.Drift, func(d spec.Drift) bool { return d.Field == drivers.DriftStopped })
	switch {
	case byHand >= 0:
		return "it was " + o.Drift[byHand].Have
	case e == nil:
		return "it isn't running"
	case e.OOMKilled:
		return "the kernel killed it for its memory limit"
	case e.Asked:
		return wasStopped
	case !e.Known:
		return "it ended, and nobody saw how"
	case e.Signal != "":
		return "it was killed by " + e.Signal
	default:
		return fmt.Sprintf("it exited with status %d", e.Code)
	}
}

func fields(cs []spec.Change) string {
	names := make([]string, len(cs))
	for i, c := range cs {
		names[i] = c.Field
	}
	return brief(names)
}

func drifts(ds []spec.Drift) string {
	names := make([]string, len(ds))
	for i, d := range ds {
		names[i] = d.Field
	}
	return brief(names)
}

// brief joins the first few names.
func brief(names []string) string {
	const most = 4
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

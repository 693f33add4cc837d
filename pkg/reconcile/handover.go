package reconcile

import (
	"reconciler.dev/reconciler/pkg/spec"
)

// handOver plans for a daemon whose new instance was started beside the one before it: that one goes once the new one has proven itself, and goes on where it is given up.
func (p *planner) handOver() Decision {
	switch {
	case p.Observed.Outgoing.Spent():
		return p.clear()
	case p.Abandon != "":
		return p.abandon(p.Abandon)
	case len(p.changes) > 0:
		return p.abandon("it isn't what is wanted any more: " + fields(p.changes))
	case p.Ready && p.alive():
		why := "the new instance is Ready"
		return Decision{Action: Configured, Reason: why, Steps: []spec.Step{p.step(spec.VerbRetire, why)}}
	case !p.alive():
		return p.ended()
	}
	return Decision{Action: Waiting, Reason: "the new instance isn't Ready yet; the one before it goes on until it is"}
}

// clear plans that what is left of an instance goes that is no more, and then what is to be done without it.
func (p *planner) clear() Decision {
	why := "what is left of an instance that has ended is taken away"
	retire := p.step(spec.VerbRetire, why)
	p.Observed.Outgoing = nil
	d := p.keep()
	if len(d.Steps) == 0 && d.Err == nil {
		d = Decision{Action: Healed, Reason: why}
	}
	d.Steps = append([]spec.Step{retire}, d.Steps...)
	return d
}

// abandon plans that the new instance goes, and the files are put back as the one before it has them.
func (p *planner) abandon(why string) Decision {
	return Decision{Action: RolledBack, Reason: why, Steps: append(p.files(why), p.step(spec.VerbAbandon, why))}
}

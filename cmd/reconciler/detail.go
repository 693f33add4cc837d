package main

import (
	"context"
	"slices"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/spec"
)

// detail is what is asked of a host beside the looks, because it costs more than they do. What is nil isn't known, and missing says why; where nothing runs both are empty.
type detail struct {
	pids    []int
	ports   []spec.Port
	missing []spec.Loss
}

// details asks which processes the daemons of views have, and where these listen. What can't be found out is unknown, and no error: the views are true without it.
func (s *session) details(ctx context.Context, views []reconcile.View) []detail {
	var names []string
	for _, v := range views {
		if livesOn(v.Observed) {
			names = append(names, v.Observed.Name)
		}
	}
	var samples map[string]spec.Sample
	var err error
	if len(names) > 0 {
		var found []spec.Sample
		found, err = s.host.Stats(ctx, drivers.StatsQuery{Names: names, Ports: true, Bare: true})
		samples = make(map[string]spec.Sample, len(found))
		for _, one := range found {
			samples[one.Name] = one
		}
	}
	all := make([]detail, len(views))
	for i, v := range views {
		all[i] = detailOf(v.Observed, samples[v.Observed.Name], err)
	}
	return all
}

// lives says whether there may be processes of its instance.
func lives(o spec.Observed) bool {
	return o.State == spec.Running || o.State == spec.Starting || o.State == spec.Stopping
}

// livesOn is lives for both copies of a daemon that has two.
func livesOn(o spec.Observed) bool { return lives(o) || goesOn(o) }

// detailOf is what a sample tells of a daemon. failed is why there is none.
func detailOf(o spec.Observed, s spec.Sample, failed error) detail {
	unknown := func(why string) detail {
		return detail{missing: []spec.Loss{{Field: "pids", Reason: why}, {Field: "ports", Reason: why}}}
	}
	none := detail{pids: []int{}, ports: []spec.Port{}}
	switch {
	case o.State == spec.Unknown:
		return unknown(o.Message)
	case !livesOn(o):
		return none
	case failed != nil:
		return unknown(failed.Error())
	case s.State == spec.Unknown:
		return unknown(s.Message)
	case lives(o) && !isOf(&s, o.Instance), goesOn(o) && !isOf(s.Outgoing, o.Outgoing):
		return unknown("it ended, or was started, while it was looked at")
	}
	d := none
	if lives(o) {
		d = detailsOf(s, o.Instance)
	}
	if goesOn(o) {
		d = d.and(detailsOf(*s.Outgoing, o.Outgoing))
	}
	return d
}

// and is the detail of two copies together: what isn't known of one isn't known of both.
func (d detail) and(of detail) detail {
	both := detail{pids: slices.Concat(d.pids, of.pids), missing: slices.Concat(d.missing, of.missing)}
	if d.ports != nil && of.ports != nil {
		both.ports = append(slices.Clip(d.ports), of.ports...)
	}
	return both
}

// isOf says whether a sample is one of an instance that runs.
func isOf(s *spec.Sample, in *spec.Instance) bool {
	return s != nil && s.State == spec.Running && in != nil && s.Instance == in.ID && len(s.PIDs) > 0
}

// detailsOf is what a sample of an instance tells.
func detailsOf(s spec.Sample, in *spec.Instance) detail {
	d := detail{pids: mainFirst(s.PIDs, in.PID), ports: s.Ports}
	for _, m := range s.Missing {
		if m.Field == "pids" || m.Field == "ports" {
			d.missing = append(d.missing, m)
		}
	}
	if d.ports == nil && len(d.missing) == 0 {
		d.missing = []spec.Loss{{Field: "ports", Reason: "the host doesn't tell"}}
	}
	return d
}

// mainFirst are the processes in their order, but for the main one.
func mainFirst(pids []int, main int) []int {
	i := slices.Index(pids, main)
	if i < 0 {
		return pids
	}
	return slices.Concat(pids[i:i+1], pids[:i], pids[i+1:])
}

// tell adds a detail to a status.
func (st *status) tell(d detail) {
	st.PIDs, st.Ports, st.Missing = d.pids, d.ports, d.missing
}

// placeNames are the service and the instance of a daemon: those of its manifest, which make its place in the tree of cgroups; the service is its name where the manifest gives neither.
func placeNames(name string, c *spec.Cgroup) (service, instance string) {
	if c == nil || c.Service == "" && c.Instance == "" {
		return name, ""
	}
	return c.Service, c.Instance
}

// healthOf is what its health checks come to: Healthy, Unhealthy, Starting where that isn't settled, Unknown, or nothing where there is nothing to check, or no check.
func healthOf(v reconcile.View) string {
	if s := v.Observed.Stamp; s != nil && s.Spec.Health == nil {
		return ""
	}
	for _, c := range v.Conditions {
		if c.Type == spec.Ready && (lives(v.Observed) || v.Observed.State == spec.Unknown) {
			return c.Reason
		}
	}
	return ""
}

// sinceOf is when the phase that a daemon is in began, nil where that isn't known.
func sinceOf(o spec.Observed) *time.Time {
	switch in := o.Instance; {
	case in == nil || o.State == spec.Unknown:
		return nil
	case in.Exit != nil:
		return &in.Exit.At
	default:
		return &in.StartedAt
	}
}

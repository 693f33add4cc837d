package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"reconciler.dev/reconciler/pkg/programs"
	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/spec"
)

// reviewed is the plan for one host: what diff and plan show, and what apply does.
type reviewed struct {
	*site
	place  spec.Placement
	wants  []*spec.Daemon
	review *reconcile.Review
	err    error // why there is no plan, though the host can be reached
}

// reviews are the plans for all hosts.
type reviews struct {
	all   []*reviewed
	guard error // set where the prune guard stops the prune, on every host
}

// review plans for all hosts that the manifests name, after what purpose says was done about their programs, and with --prune for those that are declared. Nothing is contacted before all manifests were read and are sound.
// An error means that there is no plan at all; then nothing is left open. A host that can't be reached, or for which there is no plan, is among the reviews.
func (c *cli) review(ctx context.Context, p *planning, purpose programs.Purpose, o func(at string) reconcile.Options) (*reviews, error) {
	d, err := c.declared(p.inputs, p.hostFlags, p.prune)
	if err != nil {
		return nil, err
	}
	round, err := c.round(purpose)
	if err != nil {
		return nil, err
	}
	if purpose != programs.Look {
		c.rememberAll(p.inputs, *p.set, d)
	}
	wants, err := c.resolveAll(ctx, d, round)
	if err != nil {
		return nil, err
	}
	d = p.withInventory(d)
	sites, err := c.openSites(ctx, d.inv, d.at(), p.parallel, o)
	if err != nil {
		return nil, err
	}
	if err := distinct(sites); err != nil {
		closeSites(sites)
		return nil, err
	}
	rs := &reviews{all: make([]*reviewed, len(sites))}
	for i, s := range sites {
		rs.all[i] = &reviewed{site: s, place: d.places[i]}
		if i < len(wants) {
			rs.all[i].wants = wants[i]
		}
	}
	alone := len(rs.all) == 1
	each(p.parallel, rs.all, func(i int) {
		r, prune := rs.all[i], p.pruneOptions()
		if prune.Elsewhere = d.total - len(r.wants); !alone {
			prune.Guard = -1 // weighed in sum
		}
		r.plan(ctx, c, round, prune)
	})
	if alone {
		rs.guard = rs.all[0].guard()
		if err := rs.all[0].err; err != nil {
			rs.close()
			return nil, err
		}
		return rs, nil
	}
	rs.weigh(*p.set, d.total, p.guard)
	return rs, nil
}

// withInventory adds, for a prune, the hosts for which nothing is declared: those of the inventory and this machine, or those that --host names.
func (p *planning) withInventory(d declaration) declaration {
	if !p.prune {
		return d
	}
	at, all := d.at(), p.hosts
	if p.here() {
		all = append([]string{""}, d.inv.names()...)
	}
	for _, name := range d.inv.distinct(all...) {
		if !slices.Contains(at, name) {
			d.places = append(d.places, spec.Placement{Host: name, Declared: d.inv.find(name)})
		}
	}
	return d
}

// plan plans for one host.
func (r *reviewed) plan(ctx context.Context, c *cli, round *programs.Round, prune reconcile.PruneOptions) {
	began := time.Now()
	defer func() { r.took += time.Since(began) }()
	if r.lost != nil {
		return
	}
	if r.lookPath != nil && len(r.wants) > 0 {
		if r.wants, r.err = c.resolve(ctx, r.place, r.session, round); r.err != nil {
			return
		}
	}
	r.review, r.err = r.Review(ctx, r.wants, prune)
}

func (r *reviewed) guard() error {
	if r.review == nil {
		return nil
	}
	return r.review.Guard
}

// weigh asks the guard about what goes on all hosts together. Where it objects, or a host alone has a reason to, nothing is pruned anywhere.
func (rs *reviews) weigh(set string, declared, guard int) {
	var shares []reconcile.Share
	var objections []error
	for _, r := range rs.all {
		if r.review == nil {
			continue
		}
		share := r.review.Share
		share.Host = r.name()
		shares = append(shares, share)
		objections = append(objections, r.review.Guard)
	}
	rs.guard = errors.Join(append(objections, reconcile.Guard(set, shares, declared, guard))...)
	if rs.guard == nil {
		return
	}
	for _, r := range rs.all {
		if r.review != nil {
			r.review.Items, _ = keepAndGo(r.review.Items)
			r.review.Guard = nil
		}
	}
}

// keepAndGo parts what is wanted from what is to go.
func keepAndGo(items []reconcile.Item) (keep, gone []reconcile.Item) {
	for _, it := range items {
		if it.Want == nil {
			gone = append(gone, it)
		} else {
			keep = append(keep, it)
		}
	}
	return keep, gone
}

func (rs *reviews) close() {
	sites := make([]*site, len(rs.all))
	for i, r := range rs.all {
		sites[i] = r.site
	}
	closeSites(sites)
}

// planned is what would become of the daemons of all hosts.
func (rs *reviews) planned() []done {
	all := make([]done, len(rs.all))
	for i, r := range rs.all {
		all[i] = r.planned()
	}
	return all
}

func (r *reviewed) planned() done {
	switch {
	case r.lost != nil:
		return beyondReach(r.site, wantedNames(r.wants))
	case r.err != nil:
		return done{host: r.at, err: r.err, took: r.took}
	}
	return done{host: r.at, items: r.review.Items}
}

func wantedNames(wants []*spec.Daemon) []string {
	names := make([]string, len(wants))
	for i, w := range wants {
		names[i] = w.Name
	}
	return names
}

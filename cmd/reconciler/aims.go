package main

import (
	"context"
	"fmt"

	"reconciler.dev/reconciler/pkg/reconcile"
)

// aims are the ways in which a verb's daemons may be named: by name, by labels, or by the manifests they came from.
type aims struct {
	inputs
	hostFlags
	noFiles       bool // the verb has no -f
	ignoreMissing bool
}

func (t aims) ways() string {
	if t.noFiles {
		return "NAME or -l SELECTOR"
	}
	return "NAME, -l SELECTOR or -f FILE"
}

// check wants exactly one way of naming.
func (t aims) check(args []string) error {
	if t.given(args) == 0 {
		return usagef("no daemon is named: give %s", t.ways())
	}
	return t.checkAny(args)
}

// given counts the ways of naming that are used. With manifests -l chooses among these.
func (t aims) given(args []string) (ways int) {
	for _, used := range []bool{len(args) > 0, len(t.Files) > 0, t.Selector != ""} {
		if used {
			ways++
		}
	}
	if len(t.Files) > 0 && t.Selector != "" {
		ways--
	}
	return ways
}

// checkAny is check for a verb that means all daemons where none is named.
func (t aims) checkAny(args []string) error {
	switch {
	case t.given(args) > 1:
		return usagef("daemons are named in two ways: give one of %s", t.ways())
	case len(t.Files) > 0 && t.all:
		return usagef("--all-hosts and -f don't go together: the manifests say the hosts")
	}
	return t.hostFlags.check()
}

// meant is a host, and the daemons there that a verb is to do its work on.
type meant struct {
	*site
	names []string
}

// meant opens the hosts that args and flags name, and finds the daemons. Those found by labels carry our stamp. Where an error is returned nothing is left open.
func (c *cli) meant(ctx context.Context, t aims, args []string, o func(at string) reconcile.Options) ([]meant, error) {
	if err := t.check(args); err != nil {
		return nil, err
	}
	inv, at, names, err := c.aim(t, args)
	if err != nil {
		return nil, err
	}
	sites, err := c.openSites(ctx, inv, at, t.parallel, o)
	if err != nil {
		return nil, err
	}
	if err := distinct(sites); err != nil {
		closeSites(sites)
		return nil, err
	}
	all := make([]meant, len(sites))
	for i, s := range sites {
		all[i] = meant{site: s, names: names[i]}
	}
	if len(args) == 0 && len(t.Files) == 0 {
		if err := t.find(ctx, all, sites); err != nil {
			closeSites(sites)
			return nil, err
		}
	}
	return all, nil
}

// aim finds out which hosts are meant, and which daemons there, as far as that can be known here.
func (c *cli) aim(t aims, args []string) (inv *inventory, at []string, names [][]string, err error) {
	if len(t.Files) == 0 {
		inv, at, err = c.chosen(t.hostFlags)
		for range at {
			names = append(names, daemonNames(args))
		}
		return inv, at, names, err
	}
	d, err := c.declared(t.inputs, t.hostFlags, false)
	for _, p := range d.places {
		of := make([]string, len(p.Daemons))
		for i, m := range p.Daemons {
			of[i] = m.Metadata.Name
		}
		names = append(names, of)
	}
	return d.inv, d.at(), names, err
}

// find fills in the daemons whose labels match.
func (t aims) find(ctx context.Context, all []meant, sites []*site) error {
	errs := make([]error, len(all))
	each(t.parallel, all, func(i int) {
		if all[i].lost != nil {
			return
		}
		var views []reconcile.View
		views, errs[i] = all[i].selected(ctx, t.Selector)
		for _, v := range views {
			all[i].names = append(all[i].names, v.Observed.Name)
		}
	})
	found, lost := 0, 0
	for i, m := range all {
		switch {
		case m.lost != nil:
			lost++
		case errs[i] != nil:
			return errs[i]
		}
		found += len(m.names)
	}
	if found == 0 && lost == 0 && !t.ignoreMissing {
		return fmt.Errorf("find daemons on %s: none matches -l %s; reconciler get lists what there is", siteNames(sites), t.Selector)
	}
	return nil
}

func sitesOf(all []meant) []*site {
	sites := make([]*site, len(all))
	for i, m := range all {
		sites[i] = m.site
	}
	return sites
}

// selected looks at the daemons whose labels match; at all of them where selector is empty.
func (s *session) selected(ctx context.Context, selector string) ([]reconcile.View, error) {
	sel, err := parseSelector(selector)
	if err != nil {
		return nil, err
	}
	views, err := s.Look(ctx)
	if err != nil {
		return nil, err
	}
	kept := views[:0]
	for _, v := range views {
		var labels map[string]string
		if v.Observed.Stamp != nil {
			labels = v.Observed.Stamp.Labels
		}
		if selector == "" || sel.Matches(labels) {
			kept = append(kept, v)
		}
	}
	return kept, nil
}

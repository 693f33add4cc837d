package main

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/pkg/programs"
	"reconciler.dev/reconciler/pkg/spec"
)

// inputs are the flags that name manifests.
type inputs struct {
	Files     []string
	Recursive bool
	Selector  string
	names     []string // of those, only these; none: all
	built     bool     // of those, only the ones that are built
}

func (c *cli) inputFlags(cmd *cobra.Command, in *inputs) {
	f := cmd.Flags()
	f.StringArrayVarP(&in.Files, "filename", "f", nil, "manifest file, directory (its .yaml, .yml and .json files), or - for stdin; may be repeated")
	f.BoolVarP(&in.Recursive, "recursive", "R", false, "descend into the directories given by -f")
	c.selectorFlag(cmd, &in.Selector)
}

func (c *cli) selectorFlag(cmd *cobra.Command, sel *string) {
	cmd.Flags().StringVarP(sel, "selector", "l", "", "only daemons whose labels match, as in app=web,tier in (a,b),!old")
}

// load reads the manifests, all or none, and the hosts that are declared in them or in the folder of hosts.
func (c *cli) load(in inputs) (spec.Documents, error) {
	if len(in.Files) == 0 {
		return spec.Documents{}, usagef("no manifests are named: give -f FILE, -f DIR or -f - for stdin")
	}
	sel, err := parseSelector(in.Selector)
	if err != nil {
		return spec.Documents{}, err
	}
	docs, err := spec.LoadAll(in.Files, c.loadOptions(in))
	switch {
	case err != nil:
		return spec.Documents{}, &exit{exitInput, err}
	case len(docs.Daemons) == 0:
		return spec.Documents{}, usagef("read manifests from %s: there are hosts in them, and no daemon; nothing is done on empty input", strings.Join(in.Files, ", "))
	}
	docs.Daemons, err = in.chosen(sel, docs.Daemons)
	return docs, err
}

func (c *cli) loadOptions(in inputs) spec.LoadOptions {
	resolve := c.resolveOptions()
	return spec.LoadOptions{Recursive: in.Recursive, Stdin: c.in, Resolve: &resolve, Hosts: c.hostsDirs()}
}

// chosen are the manifests that the selector matches. That there are none is an error: it would be taken for "nothing is wanted".
func (in inputs) chosen(sel spec.Selector, all []spec.Manifest) ([]spec.Manifest, error) {
	all, err := in.called(all)
	if err != nil || in.Selector == "" {
		return all, err
	}
	var kept []spec.Manifest
	for _, m := range all {
		if sel.Matches(m.Metadata.Labels) {
			kept = append(kept, m)
		}
	}
	if kept == nil {
		return nil, usagef("none of the %s in %s matches -l %s", plural(len(all), "daemon"), strings.Join(in.Files, ", "), in.Selector)
	}
	return kept, nil
}

// called are the manifests of the daemons that are named, all where none is, and that are built where that is what counts.
func (in inputs) called(all []spec.Manifest) ([]spec.Manifest, error) {
	if in.built {
		of := len(all)
		if all = slices.DeleteFunc(slices.Clone(all), func(m spec.Manifest) bool { return m.Spec.Build == nil }); len(all) == 0 {
			return nil, in.notBuilt(of)
		}
	}
	if len(in.names) == 0 {
		return all, nil
	}
	var kept []spec.Manifest
	for _, name := range in.names {
		before := len(kept)
		for _, m := range all {
			if m.Metadata.Name == name {
				kept = append(kept, m)
			}
		}
		if len(kept) == before {
			return nil, usagef("none of the %s in %s is called %s, or it has no build", plural(len(all), "daemon"), strings.Join(in.Files, ", "), name)
		}
	}
	return kept, nil
}

// declaration is what manifests declare, by host.
type declaration struct {
	inv    *inventory
	places []spec.Placement
	total  int // daemons on all hosts, those included that --host left out
}

// declared reads the manifests and finds out which daemons are for which host. Of the hosts it keeps those that --host names; that there are none is an error, but where none
// allows it.
func (c *cli) declared(in inputs, h hostFlags, none bool) (declaration, error) {
	docs, err := c.load(in)
	if err != nil {
		return declaration{}, err
	}
	d, err := c.placed(docs)
	if err != nil || h.here() {
		return d, err
	}
	only := h.among(d.inv)
	d.places = slices.DeleteFunc(d.places, func(p spec.Placement) bool { return !slices.Contains(only, p.Host) })
	if len(d.places) == 0 && !none {
		return d, usagef("none of the %s in %s is for --host=%s", plural(d.total, "daemon"), strings.Join(in.Files, ", "), strings.Join(h.hosts, ","))
	}
	return d, nil
}

// placed finds out which daemons are for which host.
func (c *cli) placed(docs spec.Documents) (declaration, error) {
	d := declaration{inv: c.newInventory(docs.Hosts)}
	var err error
	if d.places, err = spec.Place(docs.Daemons, docs.Hosts, d.inv.isLocal); err != nil {
		return d, &exit{exitInput, err}
	}
	for _, p := range d.places {
		d.total += len(p.Daemons)
	}
	return d, nil
}

// at are the hosts of the declaration.
func (d declaration) at() []string {
	at := make([]string, len(d.places))
	for i, p := range d.places {
		at[i] = p.Host
	}
	return at
}

// resolve makes the manifests of one host effective: what they name is found and read. Another machine is s, which finds programs by their names; where it is nil they stay names. round finds
// the programs that are installed; nil leaves them out, for a check.
func (c *cli) resolve(ctx context.Context, p spec.Placement, s *session, round *programs.Round) ([]*spec.Daemon, error) {
	o := c.resolveOptions()
	if p.Host != "" {
		o.Remote, o.ProgramDir = &spec.RemoteResolve{}, ""
	}
	if p.Host != "" && s != nil {
		o.Remote.LookPath = func(name string) (string, error) { return s.lookPath(ctx, name) }
		o.ProgramDir = s.facts.Programs
	}
	if round != nil {
		o.Program = func(m *spec.Manifest, dir string) (*spec.Program, error) {
			if p.Host != "" && s != nil {
				return round.There(ctx, s.host, m, dir)
			}
			return round.Find(ctx, p.Host, m, dir)
		}
	}
	ds, err := spec.Resolve(p.Daemons, o)
	if errors.As(err, new(spec.Problems)) {
		return nil, &exit{exitInput, err}
	}
	return ds, err
}

// resolveAll is resolve for all hosts of a declaration, before any of them is contacted: whatever is wrong here is told then, all of it.
func (c *cli) resolveAll(ctx context.Context, d declaration, round *programs.Round) ([][]*spec.Daemon, error) {
	wants := make([][]*spec.Daemon, len(d.places))
	var all spec.Problems
	for i, p := range d.places {
		ds, err := c.resolve(ctx, p, nil, round)
		var wrong spec.Problems
		if err != nil && !errors.As(err, &wrong) {
			return nil, err
		}
		wants[i], all = ds, append(all, wrong...)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if len(all) > 0 {
		return nil, &exit{exitInput, all}
	}
	return wants, nil
}

func (c *cli) resolveOptions() spec.ResolveOptions {
	o := spec.ResolveOptions{LookupEnv: os.LookupEnv, Path: layout.SearchPath(c.getenv, os.Geteuid())}
	if dirs, err := c.dirs(); err == nil {
		o.ProgramDir = dirs.Programs() // who needs the directories is told what is wrong with them
	}
	return o
}

func parseSelector(s string) (spec.Selector, error) {
	sel, err := spec.ParseSelector(s)
	if err != nil {
		return sel, usagef("-l %s: %w", s, err)
	}
	return sel, nil
}

package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/spec"
)

// inputs are the flags that name manifests.
type inputs struct {
	Files     []string
	Recursive bool
	Selector  string
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

// load reads the manifests, all or none.
func (c *cli) load(in inputs) ([]spec.Manifest, error) {
	if len(in.Files) == 0 {
		return nil, usagef("no manifests are named: give -f FILE, -f DIR or -f - for stdin")
	}
	resolve := c.resolveOptions()
	ms, err := spec.Load(in.Files, spec.LoadOptions{Recursive: in.Recursive, Stdin: c.in, Resolve: &resolve})
	if err != nil {
		return nil, &exit{exitInput, err}
	}
	if len(ms) == 0 {
		return nil, usagef("read manifests from %s: there are none; nothing is done on empty input", strings.Join(in.Files, ", "))
	}
	if in.Selector == "" {
		return ms, nil
	}
	sel, err := parseSelector(in.Selector)
	if err != nil {
		return nil, err
	}
	kept := ms[:0]
	for _, m := range ms {
		if sel.Matches(m.Metadata.Labels) {
			kept = append(kept, m)
		}
	}
	if len(kept) == 0 {
		return nil, usagef("none of the %s in %s matches -l %s", plural(len(ms), "daemon"), strings.Join(in.Files, ", "), in.Selector)
	}
	return kept, nil
}

// resolve makes the manifests effective: what they name is found and read.
func (c *cli) resolve(ms []spec.Manifest) ([]*spec.Daemon, error) {
	ds, err := spec.Resolve(ms, c.resolveOptions())
	if err != nil {
		return nil, &exit{exitInput, err}
	}
	return ds, nil
}

func (c *cli) resolveOptions() spec.ResolveOptions {
	return spec.ResolveOptions{LookupEnv: os.LookupEnv, Path: c.getenv("PATH")}
}

// wants is load and resolve.
func (c *cli) wants(in inputs) ([]*spec.Daemon, error) {
	ms, err := c.load(in)
	if err != nil {
		return nil, err
	}
	return c.resolve(ms)
}

func parseSelector(s string) (spec.Selector, error) {
	sel, err := spec.ParseSelector(s)
	if err != nil {
		return sel, usagef("-l %s: %w", s, err)
	}
	return sel, nil
}

// targets are the ways in which a verb's daemons may be named: by name, by labels, or by the manifests they came from.
type targets struct {
	inputs
	noFiles       bool // the verb has no -f
	ignoreMissing bool
}

func (t targets) ways() string {
	if t.noFiles {
		return "NAME or -l SELECTOR"
	}
	return "NAME, -l SELECTOR or -f FILE"
}

// names finds the daemons that args and flags name: exactly one way of naming must be used. Those found by labels carry our stamp.
func (c *cli) names(ctx context.Context, s *session, t targets, args []string) ([]string, error) {
	ways := 0
	for _, used := range []bool{len(args) > 0, len(t.Files) > 0, t.Selector != ""} {
		if used {
			ways++
		}
	}
	if len(t.Files) > 0 && t.Selector != "" {
		ways-- // -l chooses among the manifests
	}
	switch {
	case ways == 0:
		return nil, usagef("no daemon is named: give %s", t.ways())
	case ways > 1:
		return nil, usagef("daemons are named in two ways: give one of %s", t.ways())
	case len(args) > 0:
		return daemonNames(args), nil
	case len(t.Files) > 0:
		ms, err := c.load(t.inputs)
		if err != nil {
			return nil, err
		}
		names := make([]string, len(ms))
		for i, m := range ms {
			names[i] = m.Metadata.Name
		}
		return names, nil
	}
	views, err := s.selected(ctx, t.Selector)
	if err != nil {
		return nil, err
	}
	if len(views) == 0 && !t.ignoreMissing {
		return nil, fmt.Errorf("find daemons on %s: none matches -l %s; reconciler get lists what there is", s.host.Name(), t.Selector)
	}
	names := make([]string, len(views))
	for i, v := range views {
		names[i] = v.Observed.Name
	}
	return names, nil
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

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"reconciler.dev/reconciler/pkg/programs"
	"reconciler.dev/reconciler/pkg/spec"
)

type buildFlags struct {
	inputs
	hostFlags
	force bool
	out   *enum
}

func (c *cli) buildCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "build (NAME... | -l SELECTOR | -f FILE)", Short: "Build the programs of daemons",
		Long: `Build the programs of daemons as their manifests say, and touch nothing that runs. What nothing changed for that goes into it isn't built. Without -f the
manifests are those that the daemons were built from last, here.`,
		Example: "  reconciler build -f manifests/\n  reconciler build worker --force",
	}
	var b buildFlags
	c.inputFlags(cmd, &b.inputs)
	c.limitFlags(cmd, &b.hostFlags)
	cmd.Flags().BoolVar(&b.force, "force", false, "build even where nothing changed")
	b.out = enumFlag(cmd, "output", "o", "output format", "", "json", "yaml", "name")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := b.hostFlags.check(); err != nil {
			return err
		}
		if _, err := c.builtFrom(&b.inputs, args); err != nil {
			return err
		}
		return c.build(cmd.Context(), &b)
	}
	return cmd
}

// making is one program to be built, on one host: on this machine for all hosts that want it from here.
type making struct {
	host     string
	manifest *spec.Manifest
	dir      string // of the manifest
	site     *site  // where it is built; nil for here
	result   programs.Result
}

// madeResult is what became of a build, for programs.
type madeResult struct {
	Name   string `json:"name"`
	Host   string `json:"host,omitempty"` // where it was built; omitted for this machine
	Action string `json:"action"`         // built, unchanged or failed
	Digest string `json:"digest,omitempty"`
	// Took is how long the last build took.
	Took  string `json:"took,omitempty"`
	Error string `json:"error,omitempty"`
}

func (c *cli) build(ctx context.Context, b *buildFlags) error {
	d, err := c.declared(b.inputs, b.hostFlags, false)
	if err != nil {
		return err
	}
	round, err := c.round(purposeOf(b.force))
	if err != nil {
		return err
	}
	c.rememberAll(b.inputs, "", d)
	all, sites, err := c.makings(ctx, d, b.parallel)
	if err != nil {
		return err
	}
	defer closeSites(sites)
	each(b.parallel, all, func(i int) {
		m := &all[i]
		switch {
		case m.site == nil:
			m.result = round.Build(ctx, m.manifest, m.dir)
		case m.site.lost != nil:
			m.result = programs.Result{Daemon: m.manifest.Metadata.Name, Err: m.site.lost}
		default:
			m.result = round.BuildThere(ctx, m.site.host, m.manifest, m.dir)
		}
	})
	if err := c.printMakings(b.out.value, all); err != nil {
		return err
	}
	return failedMakings(all)
}

func purposeOf(force bool) programs.Purpose {
	if force {
		return programs.Remake
	}
	return programs.Make
}

// makings are the programs to be built, each once where it is built, and the hosts that are opened for some.
func (c *cli) makings(ctx context.Context, d declaration, parallel int) (all []making, sites []*site, err error) {
	here, cwd := map[string]bool{}, ""
	if cwd, err = os.Getwd(); err != nil {
		return nil, nil, err
	}
	var there []string
	for _, p := range d.places {
		open := false
		for i := range p.Daemons {
			m := &p.Daemons[i]
			remote := p.Host != "" && m.Spec.Build.On == spec.BuildOnHost
			if !remote && here[m.Source()] {
				continue
			}
			open = open || remote
			one := making{manifest: m, dir: dirOf(m, cwd)}
			if remote {
				one.host = p.Host
			} else {
				here[m.Source()] = true
			}
			all = append(all, one)
		}
		if open {
			there = append(there, p.Host)
		}
	}
	if there == nil {
		return all, nil, nil
	}
	sites, err = c.openSites(ctx, d.inv, there, parallel, c.looking)
	for i := range all {
		for _, s := range sites {
			if all[i].host == s.at && s.at != "" {
				all[i].site = s
			}
		}
	}
	return all, sites, err
}

// dirOf is what the paths of a manifest are relative to: its folder, or the working directory for stdin.
func dirOf(m *spec.Manifest, cwd string) string {
	if filepath.IsAbs(m.File) {
		return filepath.Dir(m.File)
	}
	return filepath.Join(cwd, filepath.Dir(m.File))
}

func (c *cli) printMakings(format string, all []making) error {
	results := make([]madeResult, len(all))
	for i, m := range all {
		results[i] = madeResult{Name: m.result.Daemon, Host: m.host, Action: "unchanged", Digest: m.result.Digest, Took: m.result.Took.Round(time.Millisecond).String()}
		switch {
		case m.result.Err != nil:
			results[i].Action, results[i].Error, results[i].Took = "failed", m.result.Err.Error(), ""
		case m.result.Built:
			results[i].Action = "built"
		}
	}
	if format == "json" || format == "yaml" {
		return c.encode(format, listOf(results))
	}
	for _, r := range results {
		line := fmt.Sprintf("%sdaemon/%s", hostPrefix(r.Host), clean(r.Name))
		if format == "" {
			line += " " + r.Action
		}
		if format == "" && r.Digest != "" {
			line += fmt.Sprintf(" (%s, %.19s)", r.Took, clean(r.Digest))
		}
		c.say("%s", line)
	}
	return nil
}

func failedMakings(all []making) error {
	var errs []error
	for _, m := range all {
		if m.result.Err != nil {
			errs = append(errs, m.result.Err)
		}
	}
	err := errors.Join(errs...)
	if len(errs) > 0 && len(errs) < len(all) {
		return &exit{exitPartial, err}
	}
	return err
}

// builtFrom sees to it that in names the manifests of daemons that are built: those of -f, or where that isn't given those that the daemons were built from last. args are names. It returns the
// owner sets that they were applied for then; none where that isn't known.
func (c *cli) builtFrom(in *inputs, args []string) (sets []string, err error) {
	in.names, in.built = daemonNames(args), true
	switch {
	case len(in.Files) > 0:
		return nil, nil
	case len(args) == 0 && in.Selector == "":
		return nil, usagef("no daemon is named: give NAME, -l SELECTOR or -f FILE")
	}
	known, err := c.rememberedManifests()
	if err != nil {
		return nil, err
	}
	names := in.names
	if len(names) == 0 {
		maps.DeleteFunc(known, func(_ string, from rememberedInputs) bool { return !from.there() })
		names = slices.Sorted(maps.Keys(known))
	}
	if sets, err = in.from(names, known); err != nil {
		return nil, err
	}
	if len(in.Files) == 0 {
		return nil, usagef("find daemons that match -l %s: nothing was built here before, so no manifests are known: give -f FILE", in.Selector)
	}
	return sets, nil
}

// from adds the files that daemons were built from, each once, and returns the sets that they were applied for.
func (in *inputs) from(names []string, known map[string]rememberedInputs) (sets []string, err error) {
	for _, name := range names {
		from, ok := known[name]
		if !ok {
			return nil, usagef("find the manifest of daemon %s: it wasn't built here before, so it isn't known: give -f FILE", name)
		}
		in.Recursive = in.Recursive || from.Recursive
		in.Files = append(in.Files, from.Files...)
		if from.Set != "" && !slices.Contains(sets, from.Set) {
			sets = append(sets, from.Set)
		}
	}
	slices.Sort(in.Files)
	in.Files = slices.Compact(in.Files)
	folders := slices.Clone(in.Files)
	in.Files = slices.DeleteFunc(in.Files, func(f string) bool { return slices.Contains(folders, filepath.Dir(f)) }) // it is read with its folder
	return sets, nil
}

// notBuilt is what is said where nothing is to be built.
func (in inputs) notBuilt(of int) error {
	return usagef("none of the %s in %s has a build", plural(of, "daemon"), strings.Join(in.Files, ", "))
}

// absolute are the files of inputs for whoever works in another folder; nil where stdin is one.
func (in inputs) absolute() []string {
	var files []string
	for _, f := range in.Files {
		abs, err := filepath.Abs(f)
		if f == "-" || err != nil {
			return nil
		}
		files = append(files, abs)
	}
	return files
}

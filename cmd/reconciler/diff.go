package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"reconciler.dev/reconciler/pkg/programs"
	"reconciler.dev/reconciler/pkg/reconcile"
)

// planning are the flags that say what a plan is for; diff, plan and apply share them.
type planning struct {
	inputs
	hostFlags
	set   *string
	force bool
	prune bool
	guard int
}

func (c *cli) planningFlags(cmd *cobra.Command, p *planning) {
	c.inputFlags(cmd, &p.inputs)
	c.limitFlags(cmd, &p.hostFlags)
	p.set = setFlag(cmd)
	f := cmd.Flags()
	f.BoolVar(&p.force, "force", false, "take over daemons that another set, or a run that is alive, owns, and write over files that stand in the way")
	f.BoolVar(&p.prune, "prune", false, "remove what this set applied before and the manifests no longer have")
	f.IntVar(&p.guard, "prune-guard", 0, "how many daemons prune may remove (default: ten, and at most half of the set); -1 for any number")
}

func (p *planning) check(cmd *cobra.Command) error {
	switch {
	case p.prune && p.Selector != "":
		return usagef("--prune and -l don't go together: what -l leaves out would be removed")
	case cmd.Flags().Changed("prune-guard") && !p.prune:
		return usagef("--prune-guard is only for --prune")
	case *p.set == "":
		return usagef("--set wants a name")
	}
	return p.hostFlags.check()
}

func (p *planning) pruneOptions() reconcile.PruneOptions {
	return reconcile.PruneOptions{Enabled: p.prune, Guard: p.guard}
}

func (c *cli) diffCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "diff -f FILE", Short: "Show what apply would change",
		Long: `Show what apply would change, and change nothing: for each field the old and the new value, what the change costs the daemon (live: nothing,
reload, restart, recreate) and whether the manifest changed or somebody changed what is live (drift).

Exit status: 0 where there is no difference, 1 where there is one, 2 for any error.`,
		Args: noArgs,
	}
	var p planning
	c.planningFlags(cmd, &p)
	out := enumFlag(cmd, "output", "o", "output format", "", "json", "yaml")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		different, err := c.diff(cmd.Context(), cmd, &p, out.value)
		switch {
		case err != nil:
			return &exit{exitInput, err}
		case different:
			return &exit{code: exitError}
		}
		return nil
	}
	return cmd
}

func (c *cli) diff(ctx context.Context, cmd *cobra.Command, p *planning, format string) (different bool, err error) {
	if err := p.check(cmd); err != nil {
		return false, err
	}
	rs, err := c.review(ctx, p, programs.Look, c.acting(*p.set, p.force))
	if err != nil {
		return false, err
	}
	defer rs.close()
	errs := []error{rs.guard}
	all := rs.planned()
	for i, d := range all {
		errs = append(errs, d.err)
		for _, it := range d.items {
			different = different || differs(it)
			errs = append(errs, it.Err)
			if it.Action == reconcile.Frozen && !d.lost {
				errs = append(errs, fmt.Errorf("look at daemon %s on %s: %s", it.Name, rs.all[i].name(), it.Reason))
			}
		}
	}
	if err := c.printDiff(format, all); err != nil {
		return false, err
	}
	return different, errors.Join(errs...)
}

func (c *cli) printDiff(format string, all []done) error {
	if format != "" {
		return c.printResults(format, all, dryServer)
	}
	text := diffText(all)
	if c.colour() {
		text = paint(text)
	}
	_, err := c.out.Write(text)
	return err
}

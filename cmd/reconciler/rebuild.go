package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func (c *cli) rebuildCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "rebuild (NAME... | -l SELECTOR | -f FILE)", Short: "Build the programs of daemons and roll them out",
		Long: `Build the programs of daemons as their manifests say, and apply these manifests: daemons of which the program, or anything else, changed are updated. A build
that fails touches nothing that runs. Without -f the manifests are those that the daemons were built from last, here, and the
owner set is the one that they were applied for.`,
		Example: "  reconciler rebuild worker\n  reconciler rebuild -f manifests/ -l tier=web --force",
	}
	var a applyFlags
	c.inputFlags(cmd, &a.inputs)
	c.limitFlags(cmd, &a.hostFlags)
	a.set = setFlag(cmd)
	f := cmd.Flags()
	again := f.Bool("force", false, "build even where nothing changed")
	f.BoolVar(&a.wait, "wait", false, "wait until every daemon is Ready")
	a.timeout = timeoutFlag(cmd, time.Minute, "how long --wait waits for each daemon; negative for a week")
	f.BoolVar(&a.rollback, "rollback", true, "with --wait, put the previous revision back where a change doesn't become Ready")
	a.out = resultFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := a.check(cmd); err != nil {
			return err
		}
		sets, err := c.builtFrom(&a.inputs, args)
		if err != nil {
			return err
		}
		switch {
		case cmd.Flags().Changed("set"), len(sets) == 0:
		case len(sets) > 1:
			return usagef("these daemons were applied for different sets, %s: give --set, or name those of one", strings.Join(sets, " and "))
		default:
			*a.set = sets[0]
		}
		return c.rebuild(cmd.Context(), &a, *again)
	}
	return cmd
}

func (c *cli) rebuild(ctx context.Context, a *applyFlags, again bool) error {
	rs, err := c.review(ctx, &a.planning, purposeOf(again), c.acting(*a.set, false))
	if err != nil {
		return err
	}
	defer rs.close()
	for _, d := range rs.planned() {
		c.noteFallback(d)
		c.noteLost(d)
	}
	results := c.applyAll(ctx, rs, a)
	if err := c.printResults(a.out.value, results, ""); err != nil {
		return err
	}
	c.noteUnsupervised(rs, a.Files, results)
	return outcome(results...)
}

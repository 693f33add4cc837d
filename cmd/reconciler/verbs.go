package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"reconciler.dev/reconciler/pkg/reconcile"
)

// named is a verb that does one thing to daemons named by name, labels or manifests.
type named struct {
	use, short, long string
	// waits adds --wait and --timeout.
	waits bool
	do    func(ctx context.Context, s *session, names []string, o reconcile.ApplyOptions) ([]reconcile.Item, error)
}

// namedCmd is the command of such a verb.
func (c *cli) namedCmd(v named) *cobra.Command {
	cmd := &cobra.Command{
		Use: v.use + " (NAME... | -l SELECTOR | -f FILE)", Short: v.short, Long: v.long, ValidArgsFunction: c.completeNames,
	}
	var t aims
	c.inputFlags(cmd, &t.inputs)
	c.hostsFlags(cmd, &t.hostFlags)
	out := resultFlag(cmd)
	wait, timeout := new(bool), new(seconds)
	if v.waits {
		wait = cmd.Flags().Bool("wait", false, "wait until every one is Ready")
		timeout = timeoutFlag(cmd, time.Minute, "how long each may take; negative for a week")
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		all, err := c.meant(ctx, t, args, c.acting("", false))
		if err != nil {
			return err
		}
		defer closeSites(sitesOf(all))
		results := do(t.parallel, all, func(m meant) ([]reconcile.Item, error) {
			return v.do(ctx, m.session, m.names, reconcile.ApplyOptions{Wait: *wait, Timeout: limit(*timeout)})
		})
		if err := c.printResults(out.value, results, ""); err != nil {
			return err
		}
		return outcome(results...)
	}
	return cmd
}

// do does something with the daemons that are meant on each host, where it can be reached and there are any.
func do(parallel int, all []meant, what func(m meant) ([]reconcile.Item, error)) []done {
	results := make([]done, len(all))
	each(parallel, all, func(i int) {
		m := all[i]
		switch {
		case m.lost != nil:
			results[i] = beyondReach(m.site, m.names)
		case len(m.names) > 0:
			results[i].items, results[i].err = what(m)
		}
		results[i].host = m.at
	})
	return results
}

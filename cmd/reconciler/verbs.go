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
	var t targets
	c.inputFlags(cmd, &t.inputs)
	out := resultFlag(cmd)
	wait, timeout := new(bool), new(seconds)
	if v.waits {
		wait = cmd.Flags().Bool("wait", false, "wait until every one is Ready")
		timeout = timeoutFlag(cmd, time.Minute, "how long each may take; negative for a week")
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := c.open("", false, c.progress())
		if err != nil {
			return err
		}
		defer s.close()
		names, err := c.names(cmd.Context(), s, t, args)
		if err != nil {
			return err
		}
		items, err := v.do(cmd.Context(), s, names, reconcile.ApplyOptions{Wait: *wait, Timeout: limit(*timeout)})
		if perr := c.printResults(out.value, items, ""); perr != nil {
			return perr
		}
		return outcome(items, err)
	}
	return cmd
}

package main

import (
	"context"

	"github.com/spf13/cobra"

	"reconciler.dev/reconciler/pkg/reconcile"
)

func (c *cli) stopCmd() *cobra.Command {
	return c.namedCmd(named{
		use: "stop", short: "Stop daemons and keep them stopped",
		long: `Stop daemons and remember that: neither apply nor run starts them, until reconciler start does. It waits until nothing of them is left:
first the shutdown URL, then the signal, each with the grace period, then a kill of the whole tree.`,
		do: func(ctx context.Context, s *session, names []string, _ reconcile.ApplyOptions) ([]reconcile.Item, error) {
			return s.Stop(ctx, names, c.user())
		},
	})
}

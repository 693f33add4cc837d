package main

import (
	"context"

	"github.com/spf13/cobra"

	"reconciler.dev/reconciler/pkg/reconcile"
)

func (c *cli) restartCmd() *cobra.Command {
	return c.namedCmd(named{
		use: "restart", short: "Stop daemons and start them again",
		long:  "Stop daemons and start them again, with the spec that was applied. It waits until the old one is gone and the new one runs.",
		waits: true,
		do: func(ctx context.Context, s *session, names []string, o reconcile.ApplyOptions) ([]reconcile.Item, error) {
			return s.Restart(ctx, names, o)
		},
	})
}

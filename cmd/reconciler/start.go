package main

import (
	"context"

	"github.com/spf13/cobra"

	"reconciler.dev/reconciler/pkg/reconcile"
)

func (c *cli) startCmd() *cobra.Command {
	return c.namedCmd(named{
		use: "start", short: "Start daemons that were stopped",
		long:  "Start daemons that stop has stopped, or that ended, with the spec that was applied last.",
		waits: true,
		do: func(ctx context.Context, s *session, names []string, o reconcile.ApplyOptions) ([]reconcile.Item, error) {
			return s.Start(ctx, names, o)
		},
	})
}

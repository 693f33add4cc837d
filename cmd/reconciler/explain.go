package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"reconciler.dev/reconciler/pkg/spec"
)

func (c *cli) explainCmd() *cobra.Command {
	return &cobra.Command{
		Use: "explain [[KIND.]FIELD]", Short: "Explain a field of the manifest",
		Example: "  reconciler explain spec.health\n  reconciler explain spec.stop.gracePeriod\n  reconciler explain Host.spec.proxyJump",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			path := ""
			if len(args) > 0 {
				path = args[0]
			}
			text, err := spec.Explain(path)
			if err != nil {
				return &exit{exitInput, err}
			}
			_, err = fmt.Fprint(c.out, text)
			return err
		},
	}
}

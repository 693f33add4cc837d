package main

import (
	"bytes"
	"fmt"

	"github.com/spf13/cobra"
)

func (c *cli) validateCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "validate -f FILE", Short: "Check manifests without looking at any daemon",
		Long: `Check manifests as apply would, all problems of all documents at once, without looking at any daemon.

What a manifest names must be there too: its binary, the files and the environment variables of its secrets. Where it is checked
away from the machine it is meant for, --static leaves that out.`,
		Args: noArgs,
	}
	var in inputs
	c.inputFlags(cmd, &in)
	static := cmd.Flags().Bool("static", false, "check the manifests alone, not whether what they name is there")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		docs, err := c.load(in)
		if err != nil {
			return err
		}
		d, err := c.placed(docs)
		if err != nil {
			return err
		}
		if !*static {
			if _, err := c.resolveAll(cmd.Context(), d, nil); err != nil {
				return err
			}
		}
		var b bytes.Buffer
		for _, m := range docs.Daemons {
			fmt.Fprintf(&b, "daemon/%s valid (%s)\n", clean(m.Metadata.Name), clean(m.Source()))
		}
		_, err = c.out.Write(b.Bytes())
		return err
	}
	return cmd
}

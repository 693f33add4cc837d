package main

import (
	"github.com/spf13/cobra"

	"reconciler.dev/reconciler/pkg/spec"
)

func (c *cli) schemaCmd() *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of the manifest, for editors",
		Long: `Print the JSON Schema of the manifest. With the YAML language server, save it and begin a manifest with

  # yaml-language-server: $schema=./reconciler.schema.json`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			b, err := spec.Schema()
			if err != nil {
				return err
			}
			_, err = c.out.Write(b)
			return err
		},
	}
}

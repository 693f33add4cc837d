package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// completeNames completes the daemons that are there, less those already given. A host that can't be asked completes nothing.
func (c *cli) completeNames(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	s, err := c.open("", false, nil)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer s.close()
	prefix := ""
	if strings.HasPrefix(toComplete, "daemon/") {
		prefix = "daemon/"
	}
	given := daemonNames(args)
	var names []string
	for _, d := range s.host.Drivers() {
		found, err := d.List(cmd.Context())
		if err != nil {
			continue
		}
		for _, n := range found {
			if strings.HasPrefix(prefix+n, toComplete) && !slices.Contains(given, n) {
				names = append(names, prefix+n)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), cobra.ShellCompDirectiveNoFileComp
}

// completeName completes one daemon.
func (c *cli) completeName(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return c.completeNames(cmd, args, toComplete)
}

package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// completeNames completes the daemons that are there, less those already given. A host that can't be asked completes nothing.
func (c *cli) completeNames(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	inv, at, err := c.chosen(hostFlags{hosts: hostsGiven(cmd)})
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	sites, err := c.openSites(cmd.Context(), inv, at, defaultParallel, c.looking)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer closeSites(sites)
	prefix := ""
	if strings.HasPrefix(toComplete, "daemon/") {
		prefix = "daemon/"
	}
	given := daemonNames(args)
	var names []string
	for _, n := range listed(cmd.Context(), sites) {
		if strings.HasPrefix(prefix+n, toComplete) && !slices.Contains(given, n) {
			names = append(names, prefix+n)
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

// listed are the daemons of all hosts, as far as they can be had.
func listed(ctx context.Context, sites []*site) (names []string) {
	for _, s := range sites {
		if s.lost != nil {
			continue
		}
		for _, d := range s.host.Drivers() {
			if found, err := d.List(ctx); err == nil {
				names = append(names, found...)
			}
		}
	}
	return names
}

// hostsGiven are the hosts that the command line names so far.
func hostsGiven(cmd *cobra.Command) []string {
	if cmd.Flags().Lookup("host") == nil {
		return nil
	}
	hosts, err := cmd.Flags().GetStringSlice("host")
	if err != nil {
		return nil
	}
	return hosts
}

// completeHosts completes the hosts that are declared.
func (c *cli) completeHosts(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	inv, err := c.declaredHosts()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return inv.names(), cobra.ShellCompDirectiveNoFileComp
}

package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"reconciler.dev/reconciler/pkg/spec"
)

func (c *cli) hostCheckCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "check (HOST... | --all-hosts)", Short: "Connect to hosts and say whether they can be worked on", ValidArgsFunction: c.completeHosts,
		Long: `Connect to hosts as apply would, and say what they are, which driver they would choose, and how long it took; of one that can't be worked on, why, and what mends it. Where the agent is
missing it is copied there, unless agent.install is never. What of ~/.ssh/config counts for a host and isn't done is told too.`,
	}
	var h hostFlags
	cmd.Flags().BoolVarP(&h.all, "all-hosts", "A", false, "check all hosts that are declared")
	c.parallelFlag(cmd, &h)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		h.hosts = args
		switch err := h.check(); {
		case err != nil:
			return err
		case h.here():
			return usagef("no host is named: give HOST or --all-hosts")
		}
		return c.checkHosts(cmd.Context(), h)
	}
	return cmd
}

func (c *cli) checkHosts(ctx context.Context, h hostFlags) error {
	inv, err := c.declaredHosts()
	if err != nil {
		return err
	}
	at := inv.names()
	if !h.all {
		at = h.hosts
	}
	sites := make([]*site, len(at))
	each(h.parallel, at, func(i int) { sites[i] = c.reach(ctx, inv, inv.distinct(at[i])[0], c.looking("")) })
	t := &table{out: c.out, header: []string{"HOST", "STATE", "PLATFORM", "USER", "DRIVER", "AGENT", "TIME"}}
	defer closeSites(sites)
	for _, s := range sites {
		if t.add(checkedRow(s)...); s.lost == nil {
			c.noteWay(s.at, s.notes, true)
		}
	}
	if err := t.flush(); err != nil {
		return err
	}
	return unreached(sites, nil)
}

// checkedRow is what a check of a host came to.
func checkedRow(f *site) []string {
	if f.lost != nil {
		return []string{f.name(), "unreachable", "", "", "", "", f.took.Round(time.Millisecond).String()}
	}
	driver := ""
	if best, err := f.host.Driver(spec.DriverAuto); err == nil {
		driver = string(best.Kind())
	}
	return []string{f.name(), "ready", platform(f.facts), f.facts.User, driver, f.facts.Version, f.took.Round(time.Millisecond).String()}
}

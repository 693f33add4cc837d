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
		Long: `Connect to hosts as apply would, and say which driver each would choose and how long it took; of one that can't be worked on, why, and what mends it. Where the agent is
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
	found := make([]checked, len(at))
	each(h.parallel, at, func(i int) { found[i] = c.checkHost(ctx, inv, at[i]) })
	t := &table{out: c.out, header: []string{"HOST", "STATE", "DRIVER", "TIME"}}
	sites := make([]*site, len(found))
	for i, f := range found {
		t.add(f.row()...)
		sites[i] = f.site
	}
	defer closeSites(sites)
	if err := t.flush(); err != nil {
		return err
	}
	return unreached(sites, nil)
}

// checked is what a check of a host came to.
type checked struct {
	*site
	took time.Duration
}

func (c *cli) checkHost(ctx context.Context, inv *inventory, at string) checked {
	if inv.isLocal(at) {
		at = ""
	}
	began := time.Now()
	s := &site{at: at}
	s.session, s.lost = c.connect(ctx, c, inv, at, c.looking(at))
	return checked{s, time.Since(began)}
}

func (f checked) row() []string {
	state, driver := "unreachable", ""
	if f.lost == nil {
		state = "ready"
		if best, err := f.host.Driver(spec.DriverAuto); err == nil {
			driver = string(best.Kind())
		}
	}
	return []string{f.name(), state, driver, f.took.Round(time.Millisecond).String()}
}

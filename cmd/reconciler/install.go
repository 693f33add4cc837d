package main

import (
	"context"

	"github.com/spf13/cobra"

	"reconciler.dev/reconciler/pkg/programs"
	"reconciler.dev/reconciler/pkg/reconcile"
)

// installing are the flags that install and uninstall share.
type installing struct {
	aims
	set   *string
	force bool
	out   *enum
}

func (c *cli) installCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "install (-f FILE | NAME... | -l SELECTOR)", Short: "Put daemons' programs on their hosts",
		Long: `Put the programs of daemons on their hosts, at their places, and start and stop nothing: what runs goes on with the program that it was started from. With -f the
programs are built and fetched as the manifests say; daemons that are named get back the program that was applied last.`,
		Example:           "  reconciler install -f web.yaml\n  reconciler install web",
		ValidArgsFunction: c.completeNames,
	}
	var i installing
	c.installingFlags(cmd, &i, "write over files that stand in the way")
	i.set = setFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(i.Files) == 0 {
			return c.sideways(cmd.Context(), &i, args, func(ctx context.Context, m meant) ([]reconcile.Item, error) { return m.InstallAgain(ctx, m.names) })
		}
		if err := i.check(args); err != nil {
			return err
		}
		return c.install(cmd.Context(), &i)
	}
	return cmd
}

func (c *cli) uninstallCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "uninstall (NAME... | -l SELECTOR | -f FILE)", Short: "Take away what was installed of daemons that don't run",
		Long: `Take away exactly what install put on the hosts of daemons that don't run: the program at its place, where nobody changed it since, and those that are kept for an
undo. What another daemon has there stays.`,
		Example:           "  reconciler stop web && reconciler uninstall web\n  reconciler uninstall -l app=shop --force",
		ValidArgsFunction: c.completeNames,
	}
	var i installing
	c.installingFlags(cmd, &i, "take away files too that somebody changed since they were installed")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return c.sideways(cmd.Context(), &i, args, func(ctx context.Context, m meant) ([]reconcile.Item, error) { return m.Uninstall(ctx, m.names) })
	}
	return cmd
}

func (c *cli) installingFlags(cmd *cobra.Command, i *installing, force string) {
	c.inputFlags(cmd, &i.inputs)
	c.hostsFlags(cmd, &i.hostFlags)
	cmd.Flags().BoolVar(&i.force, "force", false, force)
	i.out = resultFlag(cmd)
}

// install puts there what the manifests say.
func (c *cli) install(ctx context.Context, i *installing) error {
	p := planning{inputs: i.inputs, hostFlags: i.hostFlags, set: i.set, force: i.force}
	rs, err := c.review(ctx, &p, programs.Make, c.acting(*i.set, i.force))
	if err != nil {
		return err
	}
	defer rs.close()
	results := rs.planned()
	each(i.parallel, rs.all, func(n int) {
		r := rs.all[n]
		if r.review == nil {
			return
		}
		if results[n].err = r.prepare(); results[n].err == nil {
			results[n].items, results[n].err = r.Install(ctx, r.review)
		}
	})
	return c.tell(i, results)
}

// sideways does something about the programs of daemons that are named.
func (c *cli) sideways(ctx context.Context, i *installing, args []string, what func(context.Context, meant) ([]reconcile.Item, error)) error {
	all, err := c.meant(ctx, i.aims, args, c.acting("", i.force))
	if err != nil {
		return err
	}
	defer closeSites(sitesOf(all))
	return c.tell(i, do(i.parallel, all, func(m meant) ([]reconcile.Item, error) { return what(ctx, m) }))
}

func (c *cli) tell(i *installing, results []done) error {
	if err := c.printResults(i.out.value, results, ""); err != nil {
		return err
	}
	return outcome(results...)
}

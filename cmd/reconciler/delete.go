package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/reconcile"
)

type deleteFlags struct {
	aims
	out        *enum
	timeout    *seconds
	grace      grace
	now, force bool
	wait       bool
}

func (c *cli) deleteCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "delete (NAME... | -f FILE | -l SELECTOR)", Short: "Stop daemons and remove what is left of them",
		Long: `Stop daemons and remove their records and config files; logs stay. Daemons that others depend on go after those. It ends when nothing of them is left.`,
		Example: `  reconciler delete web
  reconciler delete -f manifests/ --ignore-not-found
  reconciler delete -l app=shop --now`,
		ValidArgsFunction: c.completeNames,
	}
	var d deleteFlags
	c.inputFlags(cmd, &d.inputs)
	c.hostsFlags(cmd, &d.hostFlags)
	d.out = resultFlag(cmd)
	d.timeout = timeoutFlag(cmd, -1, "how long it may take; negative for a week")
	f := cmd.Flags()
	f.Var(&d.grace, "grace-period", "how long each stage of the stop may take, in seconds or as a duration, instead of the manifest's; 0 kills at once")
	f.BoolVar(&d.now, "now", false, "the same as --grace-period=1")
	f.BoolVar(&d.force, "force", false, "delete even what another set, or a run that is alive, owns")
	f.BoolVar(&d.ignoreMissing, "ignore-not-found", false, "what isn't there is no error")
	f.BoolVar(&d.wait, "wait", true, "wait until they are gone; there is no server that could end a stop later, so only true is possible")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case !d.wait:
			return usagef("--wait=false isn't possible: nothing stays behind that could end the stop; put the command in the background instead")
		case d.now && d.grace.d != nil:
			return usagef("--now and --grace-period say the same thing; give one of them")
		case d.now:
			one := time.Second
			d.grace.d = &one
		}
		return c.delete(cmd.Context(), &d, args)
	}
	return cmd
}

func (c *cli) delete(ctx context.Context, d *deleteFlags, args []string) error {
	all, err := c.meant(ctx, d.aims, args, c.acting("", d.force))
	if err != nil {
		return err
	}
	defer closeSites(sitesOf(all))
	missing := make([]error, len(all))
	each(d.parallel, all, func(i int) { all[i].names, missing[i] = d.there(ctx, all[i]) })
	results := do(d.parallel, all, func(m meant) ([]reconcile.Item, error) {
		return m.Delete(ctx, m.names, reconcile.DeleteOptions{Grace: d.grace.d, Timeout: limit(*d.timeout)})
	})
	if perr := c.printResults(d.out.value, results, ""); perr != nil {
		return perr
	}
	return errors.Join(append([]error{outcome(results...)}, missing...)...)
}

// there leaves out of the daemons that are meant those that aren't there, and says so.
func (d *deleteFlags) there(ctx context.Context, m meant) (names []string, missing error) {
	if m.lost != nil || len(m.names) == 0 {
		return m.names, nil
	}
	views, missing := m.look(ctx, m.names...)
	if d.ignoreMissing && errors.Is(missing, drivers.ErrNotFound) {
		missing = nil
	}
	for _, v := range views {
		names = append(names, v.Observed.Name)
	}
	return names, missing
}

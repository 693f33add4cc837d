package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"reconciler.dev/reconciler/pkg/programs"
	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/spec"
)

type applyFlags struct {
	planning
	dryRun, out *enum
	wait        bool
	timeout     *seconds
	rollback    bool
	planFile    string
}

func (c *cli) applyCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "apply -f FILE", Short: "Make daemons as the manifests say",
		Long: `Make daemons as the manifests say. Only what differs is touched, and only what must restart restarts.

With --wait apply ends when every daemon is Ready. A change that doesn't become Ready in time is rolled back to the revision
before it (--rollback=false leaves it), and apply fails. A daemon with spec.update is waited for all the same, and what follows is what that
says.`,
		Example: `  reconciler apply -f web.yaml
  reconciler apply -f manifests/ -R --prune --wait --timeout 2m
  kustomize build | reconciler apply -f - --dry-run=server`,
		Args: noArgs,
	}
	var a applyFlags
	c.planningFlags(cmd, &a.planning)
	a.dryRun, a.out = dryRunFlag(cmd), resultFlag(cmd)
	a.timeout = timeoutFlag(cmd, time.Minute, "how long --wait waits for each daemon; negative for a week")
	f := cmd.Flags()
	f.BoolVar(&a.wait, "wait", false, "wait until every daemon is Ready")
	f.BoolVar(&a.rollback, "rollback", true, "with --wait, put the previous revision back where a change doesn't become Ready, for daemons without spec.update")
	f.StringVar(&a.planFile, "plan", "", "do what this plan says (see plan -o), or refuse where something moved since")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if a.planFile == "" {
			if err := a.check(cmd); err != nil {
				return err
			}
			return c.apply(cmd.Context(), &a, nil)
		}
		for _, name := range []string{"recursive", "selector", "set", "force", "prune", "prune-guard", "host"} {
			if cmd.Flags().Changed(name) {
				return usagef("--%s is part of the plan; give it to reconciler plan instead", name)
			}
		}
		plan, err := readPlan(a.planFile)
		if err != nil {
			return err
		}
		plan.fill(&a.planning)
		return c.apply(cmd.Context(), &a, plan)
	}
	return cmd
}

func (c *cli) apply(ctx context.Context, a *applyFlags, plan *savedPlan) error {
	if a.dryRun.value == dryClient {
		return c.applyNowhere(ctx, a)
	}
	purpose := programs.Make
	if a.dryRun.value == dryServer {
		purpose = programs.Look
	}
	rs, err := c.review(ctx, &a.planning, purpose, c.acting(*a.set, a.force))
	if err != nil {
		return err
	}
	defer rs.close()
	if plan != nil {
		if err := plan.holds(rs.planned()); err != nil {
			return err
		}
	}
	for _, d := range rs.planned() {
		c.noteFallback(d)
		c.noteLost(d)
	}
	if a.dryRun.value == dryServer {
		return errors.Join(c.printResults(a.out.value, rs.planned(), dryServer), outcome(rs.planned()...), refused(rs.guard))
	}
	c.recordLost(rs)
	results := c.applyAll(ctx, rs, a)
	if err := c.printResults(a.out.value, results, ""); err != nil {
		return err
	}
	if a.out.value == "" && len(results) > 1 {
		if err := c.printSummary(results); err != nil {
			return err
		}
	}
	c.noteUnsupervised(rs, a.Files, results)
	switch err := outcome(results...); {
	case rs.guard == nil, len(results) == 1 && !errors.Is(err, rs.guard):
		return err
	case len(results) == 1:
		return refused(rs.guard)
	default:
		return errors.Join(err, refused(rs.guard))
	}
}

// applyNowhere says what the manifests declare, where no host is looked at.
func (c *cli) applyNowhere(ctx context.Context, a *applyFlags) error {
	d, err := c.declared(a.inputs, a.hostFlags, false)
	if err != nil {
		return err
	}
	wants, err := c.resolveAll(ctx, d, nil)
	if err != nil {
		return err
	}
	all := make([]done, len(wants))
	for i, at := range d.at() {
		all[i].host = at
		for _, w := range wants[i] {
			all[i].items = append(all[i].items, reconcile.Item{Name: w.Name, Want: w, Action: "valid"})
		}
	}
	return c.printResults(a.out.value, all, dryClient)
}

// refused makes a guard's objection the end of the command; nil stays nil.
func refused(guard error) error {
	if guard == nil {
		return nil
	}
	return &exit{exitRefused, guard}
}

// noteUnsupervised says once that nothing restarts the daemons that were just started, where their driver doesn't: with the process and cgroup drivers
// only a reconciler run does.
func (c *cli) noteUnsupervised(rs *reviews, files []string, results []done) {
	var alone []string
	for i, d := range results {
		for _, it := range d.items {
			if it.Want == nil || it.Err != nil || it.Action == reconcile.Skipped || !hasVerb(it.Steps, spec.VerbStart) || it.Want.Spec.Restart.Policy == spec.RestartNever {
				continue
			}
			drv, err := rs.all[i].host.Driver(it.Want.Spec.Driver)
			if err == nil && unsupervised(drv.Kind()) {
				alone = append(alone, it.Name)
			}
		}
	}
	if len(alone) == 0 {
		return
	}
	which := "daemon " + alone[0]
	if len(alone) > 1 {
		which = fmt.Sprintf("these %d daemons", len(alone))
	}
	from := "DIR"
	if len(files) > 0 && files[0] != "-" {
		from = strings.Join(files, " -f ")
	}
	c.note("Note: nothing restarts %s after a crash or a reboot. To keep what the manifests say, leave this running: reconciler run -f %s", which, from)
}

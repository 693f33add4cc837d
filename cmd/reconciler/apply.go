package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

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
before it (--rollback=false leaves it), and apply fails.`,
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
	f.BoolVar(&a.rollback, "rollback", true, "with --wait, put the previous revision back where a change doesn't become Ready")
	f.StringVar(&a.planFile, "plan", "", "do what this plan says (see plan -o), or refuse where something moved since")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if a.planFile == "" {
			if err := a.check(cmd); err != nil {
				return err
			}
			return c.apply(cmd.Context(), &a, nil)
		}
		for _, name := range []string{"recursive", "selector", "set", "force", "prune", "prune-guard"} {
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
	wants, err := c.wants(a.inputs)
	if err != nil {
		return err
	}
	if a.dryRun.value == dryClient {
		return c.printResults(a.out.value, declared(wants), dryClient)
	}
	s, err := c.open(*a.set, a.force, c.progress())
	if err != nil {
		return err
	}
	defer s.close()
	r, err := s.Review(ctx, wants, a.pruneOptions())
	if err != nil {
		return err
	}
	if plan != nil {
		if err := plan.holds(s.host.Name(), r); err != nil {
			return err
		}
	}
	c.noteFallback(r.Items)
	c.noteLost(r.Items)
	if a.dryRun.value == dryServer {
		return errors.Join(c.printResults(a.out.value, r.Items, dryServer), outcome(r.Items, nil), refused(r.Guard))
	}
	if err := s.prepare(); err != nil {
		return err
	}
	items, err := s.Apply(ctx, r, reconcile.ApplyOptions{Wait: a.wait, Timeout: limit(*a.timeout), Rollback: a.rollback})
	if perr := c.printResults(a.out.value, items, ""); perr != nil {
		return perr
	}
	c.noteUnsupervised(s, a.Files, items)
	if r.Guard != nil && errors.Is(err, r.Guard) {
		return refused(err)
	}
	return outcome(items, err)
}

// declared are items for what was read, where no host is looked at.
func declared(wants []*spec.Daemon) []reconcile.Item {
	items := make([]reconcile.Item, len(wants))
	for i, w := range wants {
		items[i] = reconcile.Item{Name: w.Name, Want: w, Action: "valid"}
	}
	return items
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
func (c *cli) noteUnsupervised(s *session, files []string, items []reconcile.Item) {
	var alone []string
	for _, it := range items {
		if it.Want == nil || it.Err != nil || it.Action == reconcile.Skipped || !hasVerb(it.Steps, spec.VerbStart) || it.Want.Spec.Restart.Policy == spec.RestartNever {
			continue
		}
		drv, err := s.host.Driver(it.Want.Spec.Driver)
		if err == nil && unsupervised(drv.Kind()) {
			alone = append(alone, it.Name)
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

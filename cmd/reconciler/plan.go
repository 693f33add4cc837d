package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"reconciler.dev/reconciler/pkg/programs"
	"reconciler.dev/reconciler/pkg/reconcile"
)

func (c *cli) planCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "plan -f FILE [-o PLAN]", Short: "Say what apply would do, and save it for review",
		Long: `Say what apply would do, step by step, and change nothing. With -o the plan is saved: apply --plan then does exactly this,
or refuses where the manifests or what is live have moved since.`,
		Example: "  reconciler plan -f manifests/ --prune -o monday.plan\n  reconciler apply --plan monday.plan --wait",
		Args:    noArgs,
	}
	var p planning
	c.planningFlags(cmd, &p)
	file := cmd.Flags().StringP("output", "o", "", "save the plan to this file")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := p.check(cmd); err != nil {
			return err
		}
		return c.plan(cmd.Context(), &p, *file)
	}
	return cmd
}

func (c *cli) plan(ctx context.Context, p *planning, file string) error {
	rs, err := c.review(ctx, p, programs.Look, c.acting(*p.set, p.force))
	if err != nil {
		return err
	}
	defer rs.close()
	if _, err := c.out.Write(planText(rs.planned())); err != nil {
		return err
	}
	if err := errors.Join(refused(rs.guard), outcome(rs.planned()...)); err != nil {
		return err
	}
	if file == "" {
		return nil
	}
	if err := unbuilt(rs.planned()); err != nil {
		return err
	}
	saved, err := makePlan(p, rs.planned())
	if err != nil {
		return err
	}
	if err := saved.write(file); err != nil {
		return err
	}
	c.note("Saved. To do exactly this: reconciler apply --plan %s", file)
	return nil
}

// unbuilt refuses to save a plan for programs of which it isn't known yet what they will be.
func unbuilt(all []done) error {
	for _, d := range all {
		for _, it := range d.items {
			if it.Want != nil && it.Want.Program != nil && it.Want.Program.Stale != "" {
				return &exit{exitRefused, fmt.Errorf("save the plan: the program of daemon %s is still to be made (%s), so nobody could review what it will be; make it with reconciler build, and plan again",
					it.Name, it.Want.Program.Stale)}
			}
		}
	}
	return nil
}

// planText says for each daemon that something is to be done about: what, why and by which steps; and then how many there are of each kind.
func planText(all []done) []byte {
	var b bytes.Buffer
	var order []reconcile.Action
	count := map[reconcile.Action]int{}
	for _, d := range all {
		for _, it := range d.items {
			if count[it.Action]++; count[it.Action] == 1 {
				order = append(order, it.Action)
			}
			if it.Action != reconcile.Unchanged {
				planItem(&b, d.host, it)
			}
		}
	}
	var sums []string
	for _, a := range order {
		sums = append(sums, fmt.Sprintf("%d %s", count[a], a))
	}
	fmt.Fprintf(&b, "Plan: %s.\n", strings.Join(sums, ", "))
	return b.Bytes()
}

func planItem(b *bytes.Buffer, host string, it reconcile.Item) {
	fmt.Fprintf(b, "%sdaemon/%s %s", hostPrefix(host), clean(it.Name), it.Action)
	if it.Reason != "" {
		fmt.Fprintf(b, ": %s", clean(it.Reason))
	}
	b.WriteByte('\n')
	if it.Want != nil && it.Want.Program != nil && it.Want.Program.Stale != "" {
		fmt.Fprintf(b, "  rebuild: %s\n", clean(it.Want.Program.Stale))
	}
	for _, s := range it.Steps {
		fmt.Fprintf(b, "  %s\n", strings.ToLower(string(s.Verb)))
	}
	for _, l := range it.Lost {
		fmt.Fprintf(b, "  # %s is not enforced here: %s\n", clean(l.Field), clean(l.Reason))
	}
}

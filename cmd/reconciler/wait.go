package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/spec"
)

// goal is one value of --for.
type goal struct {
	kind      string // condition, delete or create
	condition spec.ConditionType
	status    string
}

func parseGoal(s string) (goal, error) {
	what, rest, _ := strings.Cut(s, "=")
	name, status, given := strings.Cut(rest, "=")
	switch {
	case (what == "delete" || what == "create") && rest == "":
		return goal{kind: what}, nil
	case what == "condition" && name != "":
		if !given {
			status = string(spec.True)
		}
		return goal{"condition", spec.ConditionType(name), status}, nil
	}
	return goal{}, usagef("--for=%s: write condition=NAME (as in condition=Ready), condition=NAME=VALUE, delete or create", s)
}

func (g goal) String() string {
	switch {
	case g.kind != "condition":
		return g.kind + "d"
	case strings.EqualFold(g.status, string(spec.True)):
		return string(g.condition)
	}
	return string(g.condition) + "=" + g.status
}

// met says whether a daemon is where the goal wants it.
func (g goal) met(v reconcile.View) bool {
	switch g.kind {
	case "delete":
		return v.Observed.State == spec.Absent
	case "create":
		return v.Observed.State != spec.Absent && v.Observed.State != spec.Unknown
	}
	return slices.ContainsFunc(v.Conditions, func(c spec.Condition) bool {
		return strings.EqualFold(string(c.Type), string(g.condition)) && strings.EqualFold(string(c.Status), g.status)
	})
}

func (c *cli) waitCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "wait (NAME... | -l SELECTOR | -f FILE) --for=condition=Ready|delete|create", Short: "Wait until daemons are as you want them",
		Long: `Wait until every daemon named is as --for says; where it is given several times, all of them at once. It wakes up when something
happens, not by the clock.`,
		Example: `  reconciler wait web --for=condition=Ready --timeout 60s
  reconciler wait -l app=shop --for=condition=Stalled=False
  reconciler wait web --for=delete`,
		ValidArgsFunction: c.completeNames,
	}
	var t aims
	c.inputFlags(cmd, &t.inputs)
	c.hostsFlags(cmd, &t.hostFlags)
	var goals []string
	cmd.Flags().StringArrayVar(&goals, "for", nil, "condition=NAME[=VALUE], delete or create; may be repeated")
	complete(cmd, "for", []string{"condition=Ready", "condition=Reconciling", "condition=Stalled", "delete", "create"})
	timeout := timeoutFlag(cmd, 30*time.Second, "how long to wait; 0 checks once, negative is a week")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(goals) == 0 {
			return usagef("wait for what? give --for=condition=Ready, --for=delete or --for=create")
		}
		gs := make([]goal, len(goals))
		for i, g := range goals {
			var err error
			if gs[i], err = parseGoal(g); err != nil {
				return err
			}
		}
		all, err := c.meant(cmd.Context(), t, args, c.looking)
		if err != nil {
			return err
		}
		defer closeSites(sitesOf(all))
		errs := make([]error, len(all))
		each(len(all), all, func(i int) {
			if all[i].lost == nil && len(all[i].names) > 0 {
				errs[i] = c.wait(cmd.Context(), all[i], gs, *timeout)
			}
		})
		return unreached(sitesOf(all), errors.Join(errs...))
	}
	return cmd
}

// wait prints each daemon of a host once as it gets there. Only waiting for delete or create may name what isn't there.
func (c *cli) wait(ctx context.Context, m meant, goals []goal, timeout seconds) error {
	if !slices.ContainsFunc(goals, func(g goal) bool { return g.kind != "condition" }) {
		if _, err := m.look(ctx, m.names...); err != nil {
			return err
		}
	}
	told := map[string]bool{}
	last := map[string]reconcile.View{}
	met := func(v reconcile.View) bool {
		name := v.Observed.Name
		last[name] = v
		for _, g := range goals {
			if !g.met(v) {
				return false
			}
		}
		if !told[name] {
			told[name] = true
			c.say("%sdaemon/%s condition met", hostPrefix(m.at), clean(name))
		}
		return true
	}
	err := m.waitAtMost(ctx, m.names, timeout, met)
	if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
		return err
	}
	var errs []error
	for _, n := range m.names {
		if !told[n] {
			errs = append(errs, fmt.Errorf("wait for daemon %s on %s: not %s after %s: %s", n, m.name(), goalList(goals), limit(timeout), found(m.at, last[n])))
		}
	}
	return &exit{exitTimeout, errors.Join(errs...)}
}

// waitAtMost is WaitFor with a limit of time; a zero one looks once. It returns context.DeadlineExceeded where the time ran out.
func (s *session) waitAtMost(ctx context.Context, names []string, timeout seconds, met func(reconcile.View) bool) error {
	if timeout == 0 {
		views, err := s.Look(ctx, names...)
		if err != nil {
			return err
		}
		for _, v := range views {
			if !met(v) {
				err = context.DeadlineExceeded
			}
		}
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, limit(timeout))
	defer cancel()
	err := s.WaitFor(ctx, names, met)
	if errors.Is(err, reconcile.ErrTimeout) {
		return context.DeadlineExceeded
	}
	return err
}

func goalList(goals []goal) string {
	words := make([]string, len(goals))
	for i, g := range goals {
		words[i] = g.String()
	}
	return strings.Join(words, " and ")
}

// found says how a daemon is, for an error about how it isn't.
func found(at string, v reconcile.View) string {
	text := "it is " + phase(v.Observed)
	if v.Observed.State == spec.Absent {
		return text
	}
	for _, c := range v.Conditions {
		if c.Type == spec.Ready || c.Type == spec.Stalled && c.Status == spec.True {
			text += fmt.Sprintf(", %s is %s", c.Type, c.Status)
			if c.Reason != "" {
				text += " (" + c.Reason + ")"
			}
			if c.Message != "" {
				text += ": " + firstLine(c.Message)
			}
		}
	}
	text += fmt.Sprintf("; see reconciler describe %s", v.Observed.Name)
	if at != "" {
		text += " --host " + at
	}
	return text
}

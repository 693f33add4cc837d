package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"reconciler.dev/reconciler/pkg/programs"
	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/spec"
)

func (c *cli) rolloutStatusCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "status " + daemonsArgs, Short: "Wait until what was applied is Ready", ValidArgsFunction: c.completeNames,
		Long: `Say how far what was applied last has come, and wait until the daemons are Ready with it. Two things end the wait with exit status 1: a daemon that is stalled,
and one whose rollout is paused while a change of it waits, because that goes on only after rollout resume. Whether one waits is known from the manifests of -f, from those that
a daemon was built from last, here, and from a run that keeps it. Where no change is known to wait, a daemon whose rollout is paused is waited for like any other, and the pause is told.`,
	}
	var t aims
	c.inputFlags(cmd, &t.inputs)
	c.hostsFlags(cmd, &t.hostFlags)
	watch := cmd.Flags().BoolP("watch", "w", true, "wait for the end; false says how it is now, with exit status 0 where all are Ready")
	timeout := timeoutFlag(cmd, -1, "how long each may take; 0 checks once, negative is a week")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		all, err := c.meant(ctx, t, args, c.looking)
		if err != nil {
			return err
		}
		defer closeSites(sitesOf(all))
		if !*watch {
			*timeout = 0
		}
		var errs []error
		for _, m := range all {
			if m.lost != nil {
				errs = append(errs, m.lost)
				continue
			}
			wants := sync.OnceValues(func() (map[string]*spec.Daemon, error) { return c.wantsOf(ctx, t.inputs, m) })
			for _, name := range m.names {
				errs = append(errs, c.rolloutStatus(ctx, m.site, name, *timeout, wants))
			}
		}
		if len(errs) == 1 {
			return errs[0]
		}
		return errors.Join(errs...)
	}
	return cmd
}

// wantsOf are the daemons of a host as their manifests want them, by name: those of -f; or else, as far as they can be read, those that the daemons were built from last, here.
func (c *cli) wantsOf(ctx context.Context, in inputs, m meant) (map[string]*spec.Daemon, error) {
	if len(in.Files) > 0 {
		return c.wantsAt(ctx, in, m.site)
	}
	known, err := c.rememberedManifests()
	wants := map[string]*spec.Daemon{}
	for _, name := range m.names {
		if from, ok := known[name]; ok && from.there() {
			found, _ := c.wantsAt(ctx, inputs{Files: from.Files, Recursive: from.Recursive, names: []string{name}}, m.site) // it is nobody's question here what is wrong with them
			wants[name] = found[name]
		}
	}
	return wants, err
}

// wantsAt are the daemons that manifests want on a host that is reached. Nothing is built.
func (c *cli) wantsAt(ctx context.Context, in inputs, s *site) (map[string]*spec.Daemon, error) {
	d, err := c.declared(in, hostFlags{}, true)
	if err != nil {
		return nil, err
	}
	round, err := c.round(programs.Look)
	if err != nil {
		return nil, err
	}
	there := s.session
	if s.lookPath == nil {
		there = nil
	}
	wants := map[string]*spec.Daemon{}
	for _, p := range d.places {
		if p.Host != s.at {
			continue
		}
		found, err := c.resolve(ctx, p, there, round)
		if err != nil {
			return nil, err
		}
		for _, w := range found {
			wants[w.Name] = w
		}
	}
	return wants, nil
}

// rollout is how far a daemon has come with what was applied last.
type rollout struct {
	reconcile.View
	at string
	// waits is what of a daemon whose rollout is paused waits, as in "a change of spec.args"; empty where nothing is known to.
	waits string
}

// rolloutStatus prints each new state of the rollout, once.
func (c *cli) rolloutStatus(ctx context.Context, s *site, name string, timeout seconds, wants func() (map[string]*spec.Daemon, error)) error {
	if _, err := s.look(ctx, name); err != nil {
		return err
	}
	var printed string
	var last rollout
	var unreadable error
	err := s.waitAtMost(ctx, []string{name}, timeout, func(v reconcile.View) bool {
		last = rollout{View: v, at: s.at}
		if v.Observed.Held != nil && v.Observed.Stamp != nil {
			var all map[string]*spec.Daemon
			if all, unreadable = wants(); unreadable != nil {
				return true
			}
			last.waits = waiting(v, all[name])
		}
		if text := last.String(); text != printed {
			printed = text
			fmt.Fprintln(c.out, text)
		}
		return last.waits != "" || rolledOut(v) || stalled(v)
	})
	doing := fmt.Sprintf("wait for the rollout of daemon %s on %s", name, s.host.Name())
	switch {
	case unreadable != nil:
		return unreadable
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		return &exit{exitTimeout, fmt.Errorf("%s: %s", doing, found(s.at, last.View))}
	case err != nil:
		return err
	case last.waits != "":
		return fmt.Errorf("%s: it is paused, and %s waits: %s", doing, last.waits, last.way())
	case stalled(last.View), !rolledOut(last.View):
		return fmt.Errorf("%s: it is stalled; %s", doing, found(s.at, last.View))
	}
	return nil
}

// waiting is what waits of a daemon whose rollout is paused: by its manifest, or where that isn't known (nil) by the word of the run that keeps it.
func waiting(v reconcile.View, want *spec.Daemon) string {
	switch {
	case want != nil && want.Digest == v.Observed.Stamp.Digest:
		return ""
	case want != nil:
		return "a change of " + clean(fieldsOf(spec.Diff(*v.Observed.Stamp, want)))
	case v.Holder != "" && slices.ContainsFunc(v.Conditions, func(c spec.Condition) bool {
		return c.Type == spec.Reconciling && c.Status == spec.True && c.Reason == reconcile.RolloutHeld
	}):
		return "a change"
	}
	return ""
}

func rolledOut(v reconcile.View) bool {
	o := v.Observed
	ready := goal{"condition", spec.Ready, string(spec.True)}
	return o.Stamp != nil && o.Instance != nil && ready.met(v)
}

func stalled(v reconcile.View) bool {
	return goal{"condition", spec.Stalled, string(spec.True)}.met(v) || v.Observed.State == spec.Absent
}

// String is the rollout in one line.
func (r rollout) String() string {
	var b bytes.Buffer
	o, done := r.Observed, rolledOut(r.View) && !stalled(r.View)
	fmt.Fprintf(&b, "%sdaemon/%s revision %d: ", hostPrefix(r.at), clean(o.Name), generation(o.Stamp))
	switch {
	case o.Held == nil && done:
		b.WriteString("rolled out")
		return b.String()
	case o.Held == nil:
		b.WriteString(clean(found(r.at, r.View)))
		return b.String()
	}
	fmt.Fprintf(&b, "paused%s; ", clean(pausedBy(*o.Held)))
	if done {
		b.WriteString("what is applied is Ready; ")
	} else {
		b.WriteString(clean(found(r.at, r.View)) + "; ")
	}
	if r.waits != "" {
		b.WriteString(r.waits + " waits; ")
	}
	b.WriteString(r.way())
	return b.String()
}

// way is how a paused rollout goes on.
func (r rollout) way() string {
	text := "reconciler rollout resume " + clean(r.Observed.Name)
	if r.at != "" {
		text += " --host " + clean(r.at)
	}
	return text + " lets it go on"
}

// pausedBy is since when something is paused and by whom, as far as that is known.
func pausedBy(p spec.Pause) string {
	if p.At.IsZero() {
		return by(p.By)
	}
	return " since " + p.At.Local().Format(time.DateTime) + by(p.By)
}

// fieldsOf names the fields of changes.
func fieldsOf(changes []spec.Change) string {
	fields := make([]string, len(changes))
	for i, ch := range changes {
		fields[i] = ch.Field
	}
	return strings.Join(fields, " ")
}

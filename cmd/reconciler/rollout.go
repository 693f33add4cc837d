package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/spec"
)

func (c *cli) rolloutCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "rollout", Short: "See and undo the revisions of a daemon",
		Args: unknownVerb, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(c.historyCmd(), c.undoCmd(), c.rolloutStatusCmd())
	return cmd
}

func (c *cli) historyCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "history NAME", Short: "List the revisions of a daemon", Args: cobra.ExactArgs(1), ValidArgsFunction: c.completeName,
		Long: "List the revisions of a daemon that are remembered, the oldest first; the last one is what is applied now. With --revision, print one.",
	}
	var h hostFlags
	c.hostFlag(cmd, &h)
	revision := cmd.Flags().Int64("revision", 0, "print this revision")
	out := enumFlag(cmd, "output", "o", "output format", "", "json", "yaml")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := c.one(cmd.Context(), h, c.looking)
		if err != nil {
			return err
		}
		defer s.close()
		name := daemonNames(args)[0]
		revs, err := s.revisions(cmd.Context(), name)
		if err != nil {
			return err
		}
		if *revision != 0 {
			return c.printRevision(s.session, name, revs, *revision, out.value)
		}
		if out.value != "" {
			return c.encode(out.value, listOf(revs))
		}
		return c.printHistory(revs)
	}
	return cmd
}

// revisions are the remembered ones of a daemon and the one that is applied now, without the digests of secrets.
func (s *session) revisions(ctx context.Context, name string) ([]spec.Revision, error) {
	views, err := s.look(ctx, name)
	if err != nil {
		return nil, err
	}
	revs, err := s.host.History(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("read the history of daemon %s on %s: %w", name, s.host.Name(), err)
	}
	if st := views[0].Observed.Stamp; st != nil {
		ready := rolledOut(views[0])
		if i := slices.IndexFunc(revs, func(r spec.Revision) bool { return r.Generation == st.Generation }); i >= 0 {
			revs[i].Ready = revs[i].Ready || ready
		} else {
			revs = append(revs, spec.Revision{Stamp: *st, Ready: ready})
		}
	}
	for i := range revs {
		revs[i].Spec = public(revs[i].Spec)
	}
	return revs, nil
}

func (c *cli) printRevision(s *session, name string, revs []spec.Revision, n int64, format string) error {
	for _, r := range revs {
		if r.Generation != n {
			continue
		}
		if format == "" {
			format = "yaml"
		}
		return c.encode(format, spec.DaemonSpec{APIVersion: spec.APIVersion, Kind: spec.Kind, Metadata: r.Metadata, Spec: r.Spec})
	}
	return fmt.Errorf("find revision %d of daemon %s on %s: it isn't remembered; reconciler rollout history %[2]s lists those that are", n, name, s.host.Name())
}

func (c *cli) printHistory(revs []spec.Revision) error {
	t := &table{out: c.out, header: []string{"REVISION", "APPLIED", "READY", "CHANGED"}}
	for i, r := range revs {
		changed := "created"
		if i > 0 {
			changed = changedFields(revs[i-1].Stamp, r.Stamp)
		} else if r.Generation > 1 {
			changed = ""
		}
		t.add(strconv.FormatInt(r.Generation, 10), r.AppliedAt.Local().Format(time.DateTime), strconv.FormatBool(r.Ready), changed)
	}
	return t.flush()
}

// changedFields names what differs between two revisions.
func changedFields(old, new spec.Stamp) string {
	var fields []string
	for _, ch := range spec.Diff(old, &spec.Daemon{Metadata: new.Metadata, Spec: new.Spec, Digest: new.Digest}) {
		fields = append(fields, ch.Field)
	}
	return strings.Join(fields, " ")
}

func (c *cli) undoCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "undo NAME", Short: "Go back to an earlier revision", Args: cobra.ExactArgs(1), ValidArgsFunction: c.completeName,
		Long: "Apply an earlier revision of a daemon again, as a new one. Put the manifest back too: the next apply, or a run, does what the manifest says.",
	}
	var h hostFlags
	c.hostFlag(cmd, &h)
	f := cmd.Flags()
	revision := f.Int64("to-revision", 0, "the revision to go back to; 0 for the one before this")
	force := f.Bool("force", false, "even where another set, or a run that is alive, owns it")
	wait := f.Bool("wait", false, "wait until it is Ready")
	timeout := timeoutFlag(cmd, time.Minute, "how long --wait waits; negative for a week")
	out := resultFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := c.one(cmd.Context(), h, c.acting("", *force))
		if err != nil {
			return err
		}
		defer s.close()
		it, err := s.Undo(cmd.Context(), daemonNames(args)[0], *revision, reconcile.ApplyOptions{Wait: *wait, Timeout: limit(*timeout)})
		if it.Name == "" {
			return err
		}
		became := done{host: s.at, items: []reconcile.Item{it}, err: err}
		if err := c.printResults(out.value, []done{became}, ""); err != nil {
			return err
		}
		return outcome(became)
	}
	return cmd
}

func (c *cli) rolloutStatusCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "status NAME", Short: "Wait until what was applied is Ready", Args: cobra.ExactArgs(1), ValidArgsFunction: c.completeName,
		Long: "Say how far what was applied last has come, and wait until the daemon is Ready with it. A daemon that is stalled ends the wait with exit status 1.",
	}
	var h hostFlags
	c.hostFlag(cmd, &h)
	watch := cmd.Flags().BoolP("watch", "w", true, "wait for the end; false says how it is now, with exit status 0 where it is Ready")
	timeout := timeoutFlag(cmd, -1, "how long to wait; 0 checks once, negative is a week")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := c.one(cmd.Context(), h, c.looking)
		if err != nil {
			return err
		}
		defer s.close()
		if !*watch {
			*timeout = 0
		}
		return c.rolloutStatus(cmd.Context(), s, daemonNames(args)[0], *timeout)
	}
	return cmd
}

// rolloutStatus prints each new state of the rollout, once.
func (c *cli) rolloutStatus(ctx context.Context, s *site, name string, timeout seconds) error {
	if _, err := s.look(ctx, name); err != nil {
		return err
	}
	var printed string
	var last reconcile.View
	err := s.waitAtMost(ctx, []string{name}, timeout, func(v reconcile.View) bool {
		last = v
		if text := rolloutText(s.at, v); text != printed {
			printed = text
			fmt.Fprintln(c.out, text)
		}
		return rolledOut(v) || stalled(v)
	})
	switch {
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		return &exit{exitTimeout, fmt.Errorf("wait for the rollout of daemon %s on %s: %s", name, s.host.Name(), found(s.at, last))}
	case err != nil:
		return err
	case !rolledOut(last):
		return fmt.Errorf("wait for the rollout of daemon %s on %s: it is stalled; %s", name, s.host.Name(), found(s.at, last))
	}
	return nil
}

func rolledOut(v reconcile.View) bool {
	o := v.Observed
	ready := goal{"condition", spec.Ready, string(spec.True)}
	return o.Stamp != nil && o.Instance != nil && ready.met(v)
}

func stalled(v reconcile.View) bool {
	return goal{"condition", spec.Stalled, string(spec.True)}.met(v) || v.Observed.State == spec.Absent
}

func rolloutText(at string, v reconcile.View) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%sdaemon/%s revision %d: ", hostPrefix(at), clean(v.Observed.Name), generation(v.Observed.Stamp))
	if rolledOut(v) {
		b.WriteString("rolled out")
	} else {
		b.WriteString(clean(found(at, v)))
	}
	return b.String()
}

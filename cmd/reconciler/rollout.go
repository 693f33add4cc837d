package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/spec"
)

func (c *cli) rolloutCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "rollout", Short: "See, undo, pause and resume the changes of daemons",
		Args: unknownVerb, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(c.historyCmd(), c.undoCmd(), c.rolloutStatusCmd(), c.rolloutPauseCmd(), c.rolloutResumeCmd(), c.rolloutRestartCmd())
	return cmd
}

func (c *cli) historyCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "history " + daemonsArgs, Short: "List the revisions of daemons", ValidArgsFunction: c.completeNames,
		Long: `List the revisions of daemons that are remembered, the oldest first; the last one is what is applied now. One that failed says why in its
last column; where that is the last one, rollout status tells which one is applied. With --revision, print one.`,
	}
	var t aims
	c.inputFlags(cmd, &t.inputs)
	c.hostsFlags(cmd, &t.hostFlags)
	revision := cmd.Flags().Int64("revision", 0, "print this revision, of one daemon")
	out := enumFlag(cmd, "output", "o", "output format", "", "json", "yaml")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		all, err := c.meant(cmd.Context(), t, args, c.looking)
		if err != nil {
			return err
		}
		defer closeSites(sitesOf(all))
		past, err := pasts(cmd.Context(), all)
		switch {
		case err != nil:
			return err
		case *revision != 0 && len(past) != 1:
			return usagef("--revision prints one of one daemon, and %d are named", len(past))
		case *revision != 0:
			return c.printRevision(past[0], *revision, out.value)
		case out.value != "":
			var revs []spec.Revision
			for _, p := range past {
				revs = append(revs, p.revs...)
			}
			return c.encode(out.value, listOf(revs))
		}
		return c.printHistories(past)
	}
	return cmd
}

// daemonsArgs says how the daemons of a verb are named.
const daemonsArgs = "(NAME... | -l SELECTOR | -f FILE)"

// past is the revisions of one daemon.
type past struct {
	at   string
	host string
	name string
	revs []spec.Revision
}

// pasts are those of all daemons that are meant. Every host has to be in reach.
func pasts(ctx context.Context, all []meant) ([]past, error) {
	var found []past
	for _, m := range all {
		if m.lost != nil {
			return nil, m.lost
		}
		for _, name := range m.names {
			revs, err := m.revisions(ctx, name)
			if err != nil {
				return nil, err
			}
			found = append(found, past{m.at, m.host.Name(), name, revs})
		}
	}
	return found, nil
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

func (c *cli) printRevision(p past, n int64, format string) error {
	for _, r := range p.revs {
		if r.Generation != n {
			continue
		}
		if format == "" {
			format = "yaml"
		}
		return c.encode(format, spec.DaemonSpec{APIVersion: spec.APIVersion, Kind: spec.Kind, Metadata: r.Metadata, Spec: r.Spec})
	}
	return fmt.Errorf("find revision %d of daemon %s on %s: it isn't remembered; reconciler rollout history %[2]s lists those that are", n, p.name, p.host)
}

// printHistories prints the revisions of each daemon below its name, where there are several.
func (c *cli) printHistories(all []past) error {
	for i, p := range all {
		if len(all) > 1 {
			if i > 0 {
				fmt.Fprintln(c.out)
			}
			fmt.Fprintf(c.out, "%sdaemon/%s\n", hostPrefix(p.at), clean(p.name))
		}
		if err := c.printHistory(p.revs); err != nil {
			return err
		}
	}
	return nil
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
		if r.Failed != "" {
			changed += " (failed: " + clean(firstLine(r.Failed)) + ")"
		}
		t.add(strconv.FormatInt(r.Generation, 10), r.AppliedAt.Local().Format(time.DateTime), strconv.FormatBool(r.Ready), changed)
	}
	return t.flush()
}

// changedFields names what differs between two revisions.
func changedFields(old, new spec.Stamp) string {
	return fieldsOf(spec.Diff(old, &spec.Daemon{Metadata: new.Metadata, Spec: new.Spec, Digest: new.Digest}))
}

func (c *cli) undoCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "undo " + daemonsArgs, Short: "Go back to an earlier revision", ValidArgsFunction: c.completeNames,
		Long: `Apply an earlier revision of daemons again, each as a new one: its program, its spec and its files. Put the manifest back too: the next
apply, or a run, does what the manifest says; rollout pause keeps both from that.`,
	}
	var t aims
	c.inputFlags(cmd, &t.inputs)
	c.hostsFlags(cmd, &t.hostFlags)
	f := cmd.Flags()
	revision := f.Int64("to-revision", 0, "the revision to go back to; 0 for the last one before this that didn't fail")
	force := f.Bool("force", false, "even where another set, or a run that is alive, owns it")
	wait := f.Bool("wait", false, "wait until it is Ready")
	timeout := timeoutFlag(cmd, time.Minute, "how long --wait waits; negative for a week")
	out := resultFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		all, err := c.meant(cmd.Context(), t, args, c.acting("", *force))
		if err != nil {
			return err
		}
		defer closeSites(sitesOf(all))
		o := reconcile.ApplyOptions{Wait: *wait, Timeout: limit(*timeout)}
		results := do(t.parallel, all, func(m meant) ([]reconcile.Item, error) { return m.undo(cmd.Context(), m.names, *revision, o) })
		if err := c.printResults(out.value, results, ""); err != nil {
			return err
		}
		return outcome(results...)
	}
	return cmd
}

// undo goes back with each daemon, side by side. One that can't be gone back with is left as it is.
func (s *session) undo(ctx context.Context, names []string, revision int64, o reconcile.ApplyOptions) ([]reconcile.Item, error) {
	items, errs := make([]reconcile.Item, len(names)), make([]error, len(names))
	each(len(names), names, func(i int) {
		if items[i], errs[i] = s.Undo(ctx, names[i], revision, o); items[i].Name == "" {
			items[i] = reconcile.Item{Name: names[i], Action: reconcile.Failed, Err: errs[i]}
		}
	})
	return items, errors.Join(errs...)
}

func (c *cli) rolloutPauseCmd() *cobra.Command {
	return c.namedCmd(named{
		use: "pause", short: "Roll out no change of daemons until resume",
		long: `Keep daemons as they were applied last: neither apply nor run rolls out a change of them, until reconciler rollout resume does. They are
started again after a crash, and stay healthy, all the same. Nothing is stopped; reconciler stop does that.`,
		do: func(ctx context.Context, s *session, names []string, _ reconcile.ApplyOptions) ([]reconcile.Item, error) {
			return s.Hold(ctx, names, c.user())
		},
	})
}

func (c *cli) rolloutResumeCmd() *cobra.Command {
	return c.namedCmd(named{
		use: "resume", short: "Roll out changes of daemons again",
		long: "Let changes of daemons be rolled out again. A run does that at once; without one, the next apply.",
		do: func(ctx context.Context, s *session, names []string, _ reconcile.ApplyOptions) ([]reconcile.Item, error) {
			return s.Release(ctx, names)
		},
	})
}

func (c *cli) rolloutRestartCmd() *cobra.Command {
	return c.namedCmd(named{
		use: "restart", short: "Replace the running instances of daemons",
		long: `Replace the running instances of daemons, with the spec that was applied, as their spec.update says: with StartFirst the new one is Ready
before the old one is stopped. It is what reconciler restart does.`,
		waits: true,
		do: func(ctx context.Context, s *session, names []string, o reconcile.ApplyOptions) ([]reconcile.Item, error) {
			return s.Restart(ctx, names, o)
		},
	})
}

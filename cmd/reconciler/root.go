package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const rootLong = `reconciler is kubectl for plain daemons. You declare binaries in YAML; it makes it so on this machine, says what it will do
before it does it (diff), does only that (apply), proves that it worked (health), and keeps it so (run).

  reconciler diff  -f web.yaml        what would change
  reconciler apply -f web.yaml --wait make it so, and wait until it is healthy
  reconciler get                      what there is
  reconciler run   -f manifests/      keep it so

Everything it keeps lies in /var/lib, /run and /var/log/reconciler for root, below $XDG_STATE_HOME (~/.local/state) for others, or
all in one directory given by --state-dir or RECONCILER_STATE_DIR.

` + exitHelp

// The groups of verbs in help.
const (
	groupChange   = "change"
	groupLook     = "look"
	groupManifest = "manifest"
	groupHosts    = "hosts"
)

// root is the command with all its verbs. Nothing is opened or contacted before a verb runs.
func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use: "reconciler", Short: "kubectl for plain daemons", Long: rootLong,
		SilenceErrors: true, SilenceUsage: true, SuggestionsMinimumDistance: 2,
		Args:             unknownVerb,
		RunE:             func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRun: func(cmd *cobra.Command, _ []string) { c.noteInterrupt(cmd) },
	}
	root.SetIn(c.in)
	root.SetOut(c.out)
	root.SetErr(c.err)
	root.SetFlagErrorFunc(flagError)
	f := root.PersistentFlags()
	f.StringVar(&c.stateDir, "state-dir", c.getenv("RECONCILER_STATE_DIR"), "keep records, locks, logs and history below this directory (RECONCILER_STATE_DIR)")
	f.StringVar(&c.drivers, "drivers", c.getenv("RECONCILER_DRIVERS"), "choose from these drivers where a manifest says auto, the best first: systemd,cgroup,process (RECONCILER_DRIVERS)")
	f.StringVar(&c.agents, "agents", c.getenv("RECONCILER_AGENTS"), "find agents for hosts of other platforms in this folder too (RECONCILER_AGENTS)")
	f.IntVarP(&c.verbose, "v", "v", 0, "log to stderr: 1 for changes, 2 for looks too")
	root.AddGroup(
		&cobra.Group{ID: groupChange, Title: "Change daemons:"},
		&cobra.Group{ID: groupLook, Title: "Look at daemons:"},
		&cobra.Group{ID: groupManifest, Title: "Manifests:"},
		&cobra.Group{ID: groupHosts, Title: "Hosts:"},
	)
	add := func(group string, verbs ...*cobra.Command) {
		for _, v := range verbs {
			v.GroupID = group
			root.AddCommand(v)
		}
	}
	add(groupChange, c.adoptCmd(), c.applyCmd(), c.buildCmd(), c.deleteCmd(), c.installCmd(), c.installServiceCmd(), c.planCmd(), c.rebuildCmd(), c.restartCmd(), c.rolloutCmd(), c.runCmd(), c.startCmd(), c.stopCmd(), c.uninstallCmd(), c.uninstallServiceCmd())
	add(groupLook, c.describeCmd(), c.doctorCmd(), c.eventsCmd(), c.getCmd(), c.logsCmd(), c.statsCmd(), c.topCmd(), c.waitCmd())
	add(groupManifest, c.diffCmd(), c.explainCmd(), c.schemaCmd(), c.validateCmd())
	add(groupHosts, c.agentCmd(), c.hostCmd())
	add("", c.versionCmd())
	usageErrors(root)
	return root
}

// noteInterrupt says at ^C that the step in hand is being finished, where the verb changes daemons; the others just end.
func (c *cli) noteInterrupt(cmd *cobra.Command) {
	ctx, verb := cmd.Context(), cmd
	for verb.HasParent() && verb.Parent().HasParent() {
		verb = verb.Parent()
	}
	if verb.GroupID == groupChange {
		context.AfterFunc(ctx, func() {
			if cause := (interrupted{}); errors.As(context.Cause(ctx), &cause) {
				c.note("%v: ending after the step in hand; once more ends it now", cause)
			}
		})
	}
}

// flagError tells what is wrong with a flag. What was meant as a verb may have stopped cobra from seeing the verb's flags, so that is told first.
func flagError(cmd *cobra.Command, err error) error {
	if cmd.HasSubCommands() {
		if verr := unknownVerb(cmd, cmd.Flags().Args()); verr != nil {
			return verr
		}
	}
	var bad *pflag.InvalidValueError
	var bare *pflag.ValueRequiredError
	switch {
	case errors.As(err, &bad):
		err = fmt.Errorf("--%s=%s: %w", bad.GetFlag().Name, bad.GetValue(), bad.Unwrap())
	case errors.As(err, &bare):
		err = fmt.Errorf("--%s wants a value", bare.GetFlag().Name)
		if e, ok := bare.GetFlag().Value.(*enum); ok {
			err = fmt.Errorf("%w: %w", err, e.want())
		}
	}
	return usagef("%w; see %s --help", err, cmd.CommandPath())
}

// noArgs refuses arguments, and says how a manifest is named where that is what was meant.
func noArgs(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case cmd.Flags().Lookup("filename") != nil:
		return usagef("%s takes no argument: name manifests with -f, as in %s -f %s", cmd.Name(), cmd.CommandPath(), args[0])
	}
	return usagef("%s takes no argument, and got %q; see %s --help", cmd.Name(), args[0], cmd.CommandPath())
}

// unknownVerb refuses what isn't a verb, with the nearest ones.
func unknownVerb(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := "; see " + cmd.CommandPath() + " --help"
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return usagef("there is no verb %q%s", args[0], hint)
}

// usageErrors makes what cobra finds wrong with the arguments end with exitInput, as flags do.
func usageErrors(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			err := check(cmd, args)
			if e := (*exit)(nil); err == nil || errors.As(err, &e) {
				return err
			}
			return usagef("%w; see %s --help", err, cmd.CommandPath())
		}
	}
	for _, sub := range cmd.Commands() {
		usageErrors(sub)
	}
}

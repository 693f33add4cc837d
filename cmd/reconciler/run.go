package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"reconciler.dev/reconciler/internal/sdnotify"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/spec"
)

func (c *cli) runCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "run -f DIR", Short: "Keep daemons as the manifests say",
		Long: `Keep daemons as the manifests say, until interrupted: what dies is started again at once (then with backoff), what changes in the manifests is
applied, what is unhealthy is reported or restarted. Manifests that don't load leave the last good ones in force.

It prints a line for everything that it does. ^C ends it and leaves the daemons running; the next run goes on where this one
ended, without touching them. SIGUSR1 has it look at everything at once, and not at the next resync, and say when it has.`,
		Example: "  reconciler run -f manifests/ --prune",
		Args:    noArgs,
	}
	var p planning
	c.planningFlags(cmd, &p)
	resync := cmd.Flags().Duration("resync", 10*time.Minute, "how often everything is looked at though nothing seems to have happened")
	var show showing
	show.flags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch err := p.check(cmd); {
		case err != nil:
			return err
		case *resync < time.Second:
			return usagef("--resync %s: write a second or more", *resync)
		case len(p.Files) == 0:
			return usagef("no manifests are named: give -f DIR or -f FILE")
		}
		return c.keep(cmd.Context(), &p, *resync, show)
	}
	return cmd
}

// keep runs the loops until ctx ends.
func (c *cli) keep(ctx context.Context, p *planning, resync time.Duration, show showing) error {
	shown, err := show.open(ctx)
	if err != nil {
		return err
	}
	defer shown.close()
	k := &keeper{
		c: c, p: p, resync: resync, say: c.teller(), dialing: make(chan struct{}, max(p.parallel, 1)), kept: map[string]*keptHost{}, named: map[string]bool{}, first: map[string]bool{},
		holder: drivers.Holder{ID: rand.Text(), Set: *p.set, PID: os.Getpid(), Command: strings.Join(os.Args, " "), Since: time.Now()},
	}
	k.ledger = reconcile.NewLedger(*p.set, p.guard, k.askAgain)
	k.shown = shown
	maker, closeShop, err := c.runsMaker(k.say)
	if err != nil {
		return err
	}
	defer closeShop()
	k.maker = maker
	if k.src, err = c.source(p.inputs, *p.set, maker, k.say); err != nil {
		return err
	}
	err = k.run(ctx)
	c.notify(sdnotify.Stopping)
	if ctx.Err() == nil {
		return err
	}
	c.farewell(k.left, *p.set)
	return nil
}

// notify tells the service manager how this run is, where one started it.
func (c *cli) notify(state string) {
	if err := sdnotify.Send(c.getenv("NOTIFY_SOCKET"), state); err != nil {
		c.logger().Error(err, "notify")
	}
}

// teller prints what a run does, a line each, with the time of day. It may be called from any goroutine.
func (c *cli) teller() func(at string, p reconcile.Progress) {
	return func(at string, p reconcile.Progress) {
		c.say("%s %s%s", time.Now().Format(time.TimeOnly), hostPrefix(at), progressLine(p))
	}
}

// farewell says what a run leaves behind.
func (c *cli) farewell(left remains, set string) {
	if left.unknown || left.hosts == 0 {
		c.note("Ended. The daemons of set %s are left as they are.", set)
		return
	}
	where := ""
	if left.hosts > 1 {
		where = " on " + plural(left.hosts, "host")
	}
	c.note("Ended. %s of set %s left running%s; %s.", plural(left.running, "daemon"), set, where, aftercare(left.running, left.alone))
}

// aftercare says who restarts daemons when no run does.
func aftercare(running, alone int) string {
	switch alone {
	case running:
		return "nothing restarts them until the next reconciler run"
	case 0:
		return "systemd restarts them"
	}
	return fmt.Sprintf("systemd restarts them, but for %d that nothing restarts until the next reconciler run", alone)
}

// unsupervised says whether nothing but a run restarts what that driver runs.
func unsupervised(kind spec.DriverKind) bool {
	return kind == spec.DriverProcess || kind == spec.DriverCgroup
}

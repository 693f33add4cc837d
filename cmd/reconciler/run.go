package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
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
ended, without touching them.`,
		Example: "  reconciler run -f manifests/ --prune",
		Args:    noArgs,
	}
	var p planning
	c.planningFlags(cmd, &p)
	resync := cmd.Flags().Duration("resync", 10*time.Minute, "how often everything is looked at though nothing seems to have happened")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch err := p.check(cmd); {
		case err != nil:
			return err
		case *resync < time.Second:
			return usagef("--resync %s: write a second or more", *resync)
		case len(p.Files) == 0:
			return usagef("no manifests are named: give -f DIR or -f FILE")
		}
		return c.keep(cmd.Context(), &p, *resync)
	}
	return cmd
}

// keep runs the loop until ctx ends.
func (c *cli) keep(ctx context.Context, p *planning, resync time.Duration) error {
	holder := drivers.Holder{ID: rand.Text(), Set: *p.set, PID: os.Getpid(), Command: strings.Join(os.Args, " "), Since: time.Now()}
	say := c.teller()
	s, err := c.connect(c, reconcile.Options{
		Owner: spec.Owner{Set: *p.set, Holder: holder.ID}, Tool: toolVersion(), Force: p.force, Report: say, LookupEnv: os.LookupEnv, Log: c.logger(),
	})
	if err != nil {
		return err
	}
	defer s.close()
	src, err := c.source(p.inputs, say)
	if err != nil {
		return err
	}
	if err := s.prepare(); err != nil {
		return err
	}
	say(reconcile.Progress{Phase: "keep", Message: fmt.Sprintf("set %s on %s from %s; ^C ends this and leaves the daemons running", *p.set, s.host.Name(), strings.Join(p.Files, ", "))})
	if best, err := s.host.Driver(spec.DriverAuto); err == nil {
		for _, u := range s.host.Fallback(best.Kind()) {
			say(reconcile.Progress{Phase: "fallback", Message: fmt.Sprintf("running under %s, not %s: %s", best.Kind(), u.Kind, u.Advice())})
		}
	}
	err = s.Run(ctx, src, reconcile.RunOptions{Prune: p.pruneOptions(), Resync: resync, Holder: holder, Loaded: func() { c.notify(sdnotify.Ready) }})
	c.notify(sdnotify.Stopping)
	if ctx.Err() == nil || !errors.Is(err, ctx.Err()) {
		return err
	}
	c.farewell(context.WithoutCancel(ctx), s, *p.set)
	return nil
}

// notify tells the service manager how this run is, where one started it.
func (c *cli) notify(state string) {
	if err := sdnotify.Send(c.getenv("NOTIFY_SOCKET"), state); err != nil {
		c.logger().Error(err, "notify")
	}
}

// teller prints what a run does, a line each, with the time of day. It may be called from any goroutine.
func (c *cli) teller() func(reconcile.Progress) {
	var mu sync.Mutex
	return func(p reconcile.Progress) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(c.out, "%s %s\n", time.Now().Format(time.TimeOnly), progressLine(p))
	}
}

// farewell says what a run leaves behind.
func (c *cli) farewell(ctx context.Context, s *session, set string) {
	views, err := s.Look(ctx)
	if err != nil {
		c.note("Ended. The daemons of set %s are left as they are.", set)
		return
	}
	running, alone := 0, 0
	for _, v := range views {
		if v.Observed.Stamp != nil && v.Observed.Stamp.Owner.Set == set && v.Observed.State == spec.Running {
			running++
			if unsupervised(v.Observed.Driver) {
				alone++
			}
		}
	}
	c.note("Ended. %s of set %s left running; %s.", plural(running, "daemon"), set, aftercare(running, alone))
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

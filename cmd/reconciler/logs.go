package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"reconciler.dev/reconciler/pkg/drivers"
)

type logFlags struct {
	opts      drivers.LogOptions
	since     time.Duration
	sinceTime string
	prefix    bool
}

func (c *cli) logsCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "logs (NAME... | -l SELECTOR)", Short: "Print what daemons wrote",
		Long: `Print what daemons wrote to stdout and stderr, rotated files first. While an update has two copies of a daemon run side by side
the lines of both are shown, as they come, and a note on stderr says so. On a terminal, control characters other than colours are shown, not acted on.

With --since it begins at the first line that tells, at its head, a time of then or later. Of a log whose lines tell no times it is all that the running process wrote, if that was started before then,
else all there is; and nothing where the file wasn't written to since.`,
		Example: `  reconciler logs web --tail 100 -f
  reconciler logs -l app=shop -f
  reconciler logs web --previous`,
		ValidArgsFunction: c.completeNames,
	}
	var l logFlags
	t := aims{noFiles: true}
	c.selectorFlag(cmd, &t.Selector)
	c.hostsFlags(cmd, &t.hostFlags)
	f := cmd.Flags()
	f.BoolVarP(&l.opts.Follow, "follow", "f", false, "go on and print what is written")
	f.IntVar(&l.opts.Tail, "tail", -1, "how many of the last lines to begin with; -1 for all")
	f.DurationVar(&l.since, "since", 0, "only what was written in this last while, as in 10m")
	f.StringVar(&l.sinceTime, "since-time", "", "only what was written since this time (RFC 3339)")
	f.BoolVarP(&l.opts.Previous, "previous", "p", false, "what the process before this one wrote")
	f.BoolVar(&l.prefix, "prefix", false, "begin each line with its daemon (default: where there are several)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case l.since != 0 && l.sinceTime != "":
			return usagef("--since and --since-time say the same thing; give one of them")
		case l.opts.Follow && l.opts.Previous:
			return usagef("--follow and --previous don't go together: the process before this one writes nothing more")
		case l.since > 0:
			l.opts.Since = time.Now().Add(-l.since)
		case l.since < 0:
			return usagef("--since %s: the last while has no negative length; write as in 10m", l.since)
		case l.sinceTime != "":
			at, err := time.Parse(time.RFC3339, l.sinceTime)
			if err != nil {
				return usagef("--since-time %s: write a time as in %s", l.sinceTime, "2026-01-31T15:04:05Z")
			}
			l.opts.Since = at
		}
		all, err := c.meant(cmd.Context(), t, args, c.looking)
		if err != nil {
			return err
		}
		defer closeSites(sitesOf(all))
		if !cmd.Flags().Changed("prefix") {
			l.prefix = len(logsOf(all)) > 1
		}
		if !l.opts.Previous {
			c.noteCopies(cmd.Context(), all)
		}
		err = c.logs(cmd.Context(), logsOf(all), l)
		if l.opts.Follow && cmd.Context().Err() != nil {
			return nil // ^C is how following ends
		}
		return unreached(sitesOf(all), err)
	}
	return cmd
}

// oneLog is the log of one daemon.
type oneLog struct {
	*site
	daemon string
}

func logsOf(all []meant) (logs []oneLog) {
	for _, m := range all {
		for _, n := range m.names {
			if m.lost == nil {
				logs = append(logs, oneLog{m.site, n})
			}
		}
	}
	return logs
}

// logs copies logs to stdout: one after the other, or all at once where they are followed.
func (c *cli) logs(ctx context.Context, all []oneLog, l logFlags) error {
	var mu sync.Mutex
	errs := make([]error, len(all))
	parallel := 1
	if l.opts.Follow {
		parallel = len(all)
	}
	each(parallel, all, func(i int) {
		w, flush := c.logWriter(&mu, all[i], l.prefix)
		errs[i] = errors.Join(all[i].host.Logs(ctx, all[i].daemon, w, l.opts), flush())
	})
	return errors.Join(errs...)
}

// noteCopies says whose lines are shown of daemons of which two copies run. What can't be looked at isn't told: the logs say what is wrong.
func (c *cli) noteCopies(ctx context.Context, all []meant) {
	for _, m := range all {
		if m.lost != nil || len(m.names) == 0 {
			continue
		}
		views, _ := m.Look(ctx, m.names...)
		for _, v := range views {
			if two := twoCopies(v.Observed); two != "" {
				c.note("%sNote: daemon %s has %s; what both write is shown", hostPrefix(m.at), clean(v.Observed.Name), two)
			}
		}
	}
}

// logWriter returns what one daemon's log is written to. Bytes go through as they are where no terminal reads them and no prefix is wanted.
func (c *cli) logWriter(mu *sync.Mutex, log oneLog, prefix bool) (w io.Writer, flush func() error) {
	tty := terminal(c.out)
	if !prefix && !tty {
		return c.out, func() error { return nil }
	}
	lw := &lineWriter{out: c.out, mu: mu, tame: tty, colour: c.colour()}
	if prefix {
		lw.prefix = fmt.Sprintf("%s[daemon/%s] ", hostPrefix(log.at), clean(log.daemon))
	}
	return lw, lw.flush
}

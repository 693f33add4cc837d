package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

type topFlags struct {
	hostFlags
	out      *enum
	sort     *enum
	interval time.Duration
	once     bool
}

func (c *cli) topCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "top [NAME...]", Short: "Show live what daemons use, the busiest first",
		Long: `Show live what daemons use, the busiest first: on this machine, on the hosts that --host names, or with -A on all.

CPU is in percent of one core, with a bar against the daemon's limit and the last measurements beside it; THR is the share of periods in which that limit stopped it, PSI the share of the
last ten seconds in which some of it waited for CPU, memory or IO. What isn't known is shown as ?, and never as 0.

` + topKeysHelp + `

Where stdout is no terminal, or with --once, it measures twice, an interval apart, prints a table and ends; -o wide has the columns of stats -o wide, and
-o json is for programs.`,
		Example: `  reconciler top
  reconciler top -A
  reconciler top --once -o json`,
		ValidArgsFunction: c.completeNames,
	}
	var f topFlags
	f.out = enumFlag(cmd, "output", "o", "output format of --once", "", "wide", "json", "yaml")
	c.hostsFlags(cmd, &f.hostFlags)
	f.sort = enumFlag(cmd, "sort", "", "what to sort by", sortWords()...)
	cmd.Flags().DurationVar(&f.interval, "interval", time.Second, "the time from one measurement to the next")
	cmd.Flags().BoolVar(&f.once, "once", false, "measure once, print, and end")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if f.out.value != "" && !f.once {
			return usagef("-o %s is for --once; reconciler stats -o json goes on", f.out.value)
		}
		ctx := cmd.Context()
		sites, err := c.toMeasure(ctx, f.hostFlags, f.interval)
		if err != nil {
			return err
		}
		defer closeSites(sites)
		all, err := meters(ctx, sites, daemonNames(args), f.interval)
		if err != nil {
			return err
		}
		v := newTopView(sites, f.sort.value)
		if t := c.tty(); t != nil && !f.once && len(all) > 0 {
			return c.topLive(ctx, t, all, v, f.interval)
		}
		return c.topOnce(ctx, sites, all, v, f)
	}
	return cmd
}

// topOnce prints one measurement.
func (c *cli) topOnce(ctx context.Context, sites []*site, all []*meter, v *topView, f topFlags) error {
	found, errs := once(ctx, all, f.interval)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for i, m := range all {
		if errs[i] != nil && (len(sites) == 1 || !c.lose(m.site, errs[i])) {
			return errs[i]
		}
		if m.site.lost = errs[i]; errs[i] == nil {
			v.update(m.name(), found[i], nil)
		}
	}
	rows := v.rows()
	if f.out.value == "json" || f.out.value == "yaml" {
		var list []measured
		for _, r := range rows {
			if !r.goes {
				list = append(list, r.measured)
			}
		}
		return errors.Join(c.encode(f.out.value, listOf(list)), unreached(sites, nil))
	}
	t := statsTable(c, f.out.value == "wide", true, beyond(sites))
	for _, r := range rows {
		t.add(r.Host, r.measured)
	}
	if len(rows) == 0 {
		c.note("There are no daemons on %s.", siteNames(sites))
	}
	return errors.Join(t.flush(), unreached(sites, nil))
}

// topLive shows measurements on a terminal until a key, or ctx, ends it.
func (c *cli) topLive(ctx context.Context, t *tty, all []*meter, v *topView, interval time.Duration) (err error) {
	leave, err := t.enter()
	if err != nil {
		return fmt.Errorf("set up the terminal: %w", err)
	}
	defer func() { err = errors.Join(err, leave()) }()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	news := make(chan func(), 16) // what changes the view, which is this goroutine's
	send := func(f func()) bool {
		select {
		case news <- f:
			return true
		case <-ctx.Done():
			return false
		}
	}
	go t.keys(func(key string) bool {
		return send(func() {
			if !v.press(key) {
				stop()
			}
		})
	})
	go func() {
		_ = measure(ctx, all, interval, 0, func(m *meter, found []measured, err error) bool {
			return send(func() { v.update(m.name(), found, err) })
		})
	}()
	for {
		if err := t.draw(v); err != nil {
			return err
		}
		select {
		case f := <-news:
			f()
			for more := true; more; { // one picture for all that came at once
				select {
				case f := <-news:
					f()
				default:
					more = false
				}
			}
		case <-ctx.Done():
			return nil
		}
	}
}

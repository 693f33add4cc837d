package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"reconciler.dev/reconciler/internal/figure"
	"reconciler.dev/reconciler/pkg/spec"
)

type statsFlags struct {
	hostFlags
	out       *enum
	interval  time.Duration
	count     int
	noHeaders bool
}

func (c *cli) statsCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "stats [NAME...]", Short: "Print what daemons use, time after time",
		Long: `Print what daemons use, all of them or those named, time after time: on this machine, on the hosts that --host names, or with -A on all.

While an update has two copies of a daemon run side by side, the one that is to go has a row of its own, and with -o json an object of its own in "outgoing".

CPU is in percent of one core, and THROTTLED the share of periods in which the CPU limit stopped the daemon. With -o wide: memory that no file stands behind, page cache,
and the most there ever was; what came and went over a network of its own; PSI, the share of the last ten seconds in which some of it waited for CPU, memory and IO; processes that the kernel killed for
want of memory; and the GPUs' memory together with how busy the busiest one is. What isn't known is printed as ?, and never as 0; -o json says why, in "missing". With -o json each measurement of a daemon is a line of its own: counters since its start, and from the second measurement on what they came to a second, in "rates".`,
		Example: `  reconciler stats
  reconciler stats -o wide
  reconciler stats web -o json --interval 10s
  reconciler stats -A -o json --count 1`,
		ValidArgsFunction: c.completeNames,
	}
	var f statsFlags
	f.out = enumFlag(cmd, "output", "o", "output format", "", "wide", "json")
	c.hostsFlags(cmd, &f.hostFlags)
	cmd.Flags().DurationVar(&f.interval, "interval", 2*time.Second, "the time from one measurement to the next")
	cmd.Flags().IntVar(&f.count, "count", 0, "end after so many measurements; 0: go on")
	cmd.Flags().BoolVar(&f.noHeaders, "no-headers", false, "leave out the line of column names")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		sites, err := c.toMeasure(cmd.Context(), f.hostFlags, f.interval)
		if err != nil {
			return err
		}
		defer closeSites(sites)
		return c.stats(cmd.Context(), sites, f, daemonNames(args))
	}
	return cmd
}

// shortest is the least time between two measurements: below it figures say little, and cost much.
const shortest = 100 * time.Millisecond

// toMeasure opens the hosts whose daemons are measured.
func (c *cli) toMeasure(ctx context.Context, h hostFlags, interval time.Duration) ([]*site, error) {
	if interval < shortest {
		return nil, usagef("--interval is %v at least", shortest)
	}
	if err := h.check(); err != nil {
		return nil, err
	}
	inv, at, err := c.chosen(h)
	if err != nil {
		return nil, err
	}
	return c.openSites(ctx, inv, at, h.parallel, c.looking)
}

func (c *cli) stats(ctx context.Context, sites []*site, f statsFlags, names []string) error {
	for _, s := range sites {
		if s.lost != nil {
			c.note("%s%v", hostPrefix(s.at), s.lost)
		}
	}
	all, err := meters(ctx, sites, names, f.interval)
	if err != nil {
		return err
	}
	t := statsTable(c, f.out.value == "wide", !f.noHeaders, beyond(sites))
	var failed error
	err = measure(ctx, all, f.interval, f.count, func(m *meter, found []measured, err error) bool {
		switch {
		case err != nil && len(sites) > 1 && c.lose(m.site, err):
			m.site.lost = err
			return true
		case err != nil:
			failed = err
		case f.out.value == "json":
			failed = printLines(c, found)
		default:
			for _, s := range rowsOf(found) {
				t.add(s.Host, s)
			}
			failed = t.flush()
		}
		return failed == nil
	})
	if failed != nil {
		return failed
	}
	if errors.Is(err, context.Canceled) {
		err = nil // ^C is how it ends
	}
	for _, s := range sites {
		if s.lost != nil && err == nil {
			return unreachedTold(sites)
		}
	}
	return err
}

// unreachedTold is the end of a verb that has already said which hosts couldn't be reached.
func unreachedTold(sites []*site) error {
	lost := 0
	for _, s := range sites {
		if s.lost != nil {
			lost++
		}
	}
	if lost < len(sites) {
		return &exit{code: exitPartial}
	}
	return unreached(sites, nil)
}

// printLines prints each as an object on a line.
func printLines(c *cli, found []measured) error {
	var all []byte
	for _, s := range found {
		b, err := line(s)
		if err != nil {
			return err
		}
		all = append(all, b...)
	}
	_, err := c.out.Write(all)
	return err
}

// usageTable has a column for the host first where there is more to show than this machine.
type usageTable struct {
	table
	wide, hosts bool
}

func statsTable(c *cli, wide, header, hosts bool) *usageTable {
	t := &usageTable{table{out: c.out}, wide, hosts}
	t.widths = []int{16, 5, 9, 6, 6, 7, 7, 5, 5} // usual ones, as those to come aren't known
	if header {
		t.header = []string{"NAME", "CPU", "THROTTLED", "MEMORY", "LIMIT", "READ/S", "WRITE/S", "TASKS", "FILES"}
	}
	if wide {
		t.widths = append(t.widths, 6, 6, 6, 7, 7, 8, 9, 10)
		if header {
			t.header = append(t.header, "ANON", "CACHE", "PEAK", "RX/S", "TX/S", "PSI", "OOM-KILLS", "GPU")
		}
	}
	if hosts {
		t.widths = append([]int{9}, t.widths...)
		if t.header != nil {
			t.header = append([]string{"HOST"}, t.header...)
		}
	}
	return t
}

func (t *usageTable) add(host string, s measured) {
	row := append([]string{s.Name}, usageCells(s, t.wide)...)
	if t.hosts {
		row = append([]string{host}, row...)
	}
	t.table.add(row...)
}

// usageCells are what a daemon uses, for people. One that doesn't run uses nothing, and what isn't known of one that does is told so.
func usageCells(s measured, wide bool) []string {
	r := spec.Rate{}
	if s.Rates != nil {
		r = *s.Rates
	}
	cells := []string{
		figure.Known(r.CPU, figure.Percent), figure.Known(throttling(s, r), figure.Percent), figure.Known(s.Memory.Current, figure.Amount[int64]),
		figure.Known(s.Memory.Limit, func(b spec.Bound) string { return bounded(b, figure.Amount[int64]) }),
		figure.Known(r.ReadBytes, figure.Amount[float64]), figure.Known(r.WriteBytes, figure.Amount[float64]), figure.Known(s.Tasks, figure.Integer), figure.Known(s.OpenFiles, figure.Integer),
	}
	if wide {
		cells = append(cells, figure.Known(s.Memory.Anon, figure.Amount[int64]), figure.Known(s.Memory.File, figure.Amount[int64]), figure.Known(s.Memory.Peak, figure.Amount[int64]),
			figure.Known(r.RxBytes, figure.Amount[float64]), figure.Known(r.TxBytes, figure.Amount[float64]), stallCell(s), figure.Known(s.OOMKills, figure.Integer), gpuCell(s))
	}
	for i := range cells {
		switch s.State {
		case spec.Running:
		case spec.Unknown:
			cells[i] = unknown
		default:
			cells[i] = "-"
		}
	}
	return cells
}

// throttling is the share of throttled periods. What has no limit isn't throttled, whoever counts that or not.
func throttling(s measured, r spec.Rate) *float64 {
	if l := s.CPU.Limit; r.Throttled == nil && l != nil && *l == spec.Unbounded {
		return new(float64)
	}
	return r.Throttled
}

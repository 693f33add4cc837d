package main

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"reconciler.dev/reconciler/pkg/spec"
)

type eventFlags struct {
	hostFlags
	out       *enum
	only      string
	types     []string
	noHeaders bool
	watch     bool
	since     time.Duration
}

func (c *cli) eventsCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "events [--for NAME]", Short: "List what happened to daemons",
		Long: "List what happened to daemons, oldest first. With -w it goes on; -o json then prints one object a line.",
		Args: noArgs,
	}
	var e eventFlags
	e.out = enumFlag(cmd, "output", "o", "output format", "", "json", "yaml")
	c.hostsFlags(cmd, &e.hostFlags)
	f := cmd.Flags()
	f.StringVar(&e.only, "for", "", "only events of this daemon: NAME or daemon/NAME")
	f.StringSliceVar(&e.types, "types", nil, "only events of these types: Normal, Warning")
	f.DurationVar(&e.since, "since", 0, "only events newer than this, as in 10m")
	f.BoolVar(&e.noHeaders, "no-headers", false, "leave out the line of column names")
	f.BoolVarP(&e.watch, "watch", "w", false, "go on and print each event as it happens")
	complete(cmd, "types", []string{"Normal", "Warning"})
	_ = cmd.RegisterFlagCompletionFunc("for", c.completeName)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		for _, t := range e.types {
			if t != "Normal" && t != "Warning" {
				return usagef("--types takes Normal and Warning, not %q", t)
			}
		}
		if err := e.check(); err != nil {
			return err
		}
		inv, at, err := c.chosen(e.hostFlags)
		if err != nil {
			return err
		}
		sites, err := c.openSites(cmd.Context(), inv, at, e.parallel, c.looking)
		if err != nil {
			return err
		}
		defer closeSites(sites)
		err = c.events(cmd.Context(), sites, &e)
		if e.watch && errors.Is(err, context.Canceled) {
			return nil
		}
		return unreached(sites, err)
	}
	return cmd
}

// happened is an event of a host.
type happened struct {
	Host string `json:"host,omitempty"`
	spec.Event
}

func (c *cli) events(ctx context.Context, sites []*site, e *eventFlags) error {
	var since time.Time
	if e.since > 0 {
		since = time.Now().Add(-e.since)
	}
	only := strings.TrimPrefix(e.only, "daemon/")
	wanted := func(ev spec.Event) bool {
		return (only == "" || ev.Name == only) && (len(e.types) == 0 || slices.Contains(e.types, ev.Type))
	}
	if e.watch {
		return c.watchEvents(ctx, sites, e, since, wanted)
	}
	all, err := eventsOf(ctx, sites, e.parallel, since, wanted)
	switch {
	case err != nil:
		return err
	case e.out.value != "":
		return c.encode(e.out.value, listOf(all))
	case len(all) == 0:
		c.note("No events.")
	}
	t := c.eventTable(e, beyond(sites))
	for _, ev := range all {
		t.add(ev)
	}
	return t.flush()
}

// eventsOf returns those of all hosts that can be reached, oldest first, by their hosts' clocks.
func eventsOf(ctx context.Context, sites []*site, parallel int, since time.Time, wanted func(spec.Event) bool) ([]happened, error) {
	found, errs := make([][]happened, len(sites)), make([]error, len(sites))
	each(parallel, sites, func(i int) {
		s := sites[i]
		if s.lost != nil {
			return
		}
		errs[i] = s.host.Events(ctx, since, false, func(ev spec.Event) bool {
			if wanted(ev) {
				found[i] = append(found[i], happened{s.at, ev})
			}
			return true
		})
	})
	all := slices.Concat(found...)
	if len(sites) > 1 {
		slices.SortStableFunc(all, func(a, b happened) int { return a.At.Compare(b.At) })
	}
	return all, errors.Join(errs...)
}

// watchEvents prints events as they come, each on its line.
func (c *cli) watchEvents(ctx context.Context, sites []*site, e *eventFlags, since time.Time, wanted func(spec.Event) bool) error {
	t := c.eventTable(e, beyond(sites))
	t.widths = []int{9, 7, 12, 16, 5} // usual ones, as those to come aren't known
	if t.hosts {
		t.widths = append([]int{9}, t.widths...)
	}
	var mu sync.Mutex
	var failed error
	print := func(ev happened) bool {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case !wanted(ev.Event) || failed != nil:
		case e.out.value == "json":
			failed = json.NewEncoder(c.out).Encode(ev)
		case e.out.value == "yaml":
			if _, failed = c.out.Write([]byte("---\n")); failed == nil {
				failed = c.encode("yaml", ev)
			}
		default:
			t.add(ev)
			failed = t.flush()
		}
		return failed == nil
	}
	errs := make([]error, len(sites))
	each(len(sites), sites, func(i int) {
		s := sites[i]
		if s.lost != nil {
			c.lose(s, s.lost)
			return
		}
		errs[i] = s.host.Events(ctx, since, true, func(ev spec.Event) bool { return print(happened{s.at, ev}) })
		if len(sites) > 1 && c.lose(s, errs[i]) {
			errs[i] = nil
		}
	})
	return errors.Join(append(errs, failed)...)
}

// eventTable has a column for the host first where there is more to show than this machine.
type eventTable struct {
	table
	hosts bool
}

func (c *cli) eventTable(e *eventFlags, hosts bool) *eventTable {
	t := &eventTable{table{out: c.out}, hosts}
	if e.noHeaders {
		return t
	}
	t.header = []string{"LAST SEEN", "TYPE", "REASON", "OBJECT", "COUNT", "MESSAGE"}
	if hosts {
		t.header = append([]string{"HOST"}, t.header...)
	}
	return t
}

func (t *eventTable) add(e happened) {
	row := []string{age(time.Since(e.At)), e.Type, e.Reason, "daemon/" + e.Name, strconv.Itoa(max(e.Count, 1)), firstLine(e.Message)}
	if t.hosts {
		row = append([]string{hostWord(e.Host)}, row...)
	}
	t.table.add(row...)
}

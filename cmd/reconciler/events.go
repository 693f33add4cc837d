package main

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"reconciler.dev/reconciler/pkg/spec"
)

type eventFlags struct {
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
		s, err := c.open("", false, nil)
		if err != nil {
			return err
		}
		defer s.close()
		err = c.events(cmd.Context(), s, &e)
		if e.watch && errors.Is(err, context.Canceled) {
			return nil
		}
		return err
	}
	return cmd
}

func (c *cli) events(ctx context.Context, s *session, e *eventFlags) error {
	var since time.Time
	if e.since > 0 {
		since = time.Now().Add(-e.since)
	}
	only := strings.TrimPrefix(e.only, "daemon/")
	wanted := func(ev spec.Event) bool {
		return (only == "" || ev.Name == only) && (len(e.types) == 0 || slices.Contains(e.types, ev.Type))
	}
	if e.watch {
		return c.watchEvents(ctx, s, e, since, wanted)
	}
	var all []spec.Event
	err := s.host.Events(ctx, since, false, func(ev spec.Event) bool {
		if wanted(ev) {
			all = append(all, ev)
		}
		return true
	})
	switch {
	case err != nil:
		return err
	case e.out.value != "":
		return c.encode(e.out.value, listOf(all))
	case len(all) == 0:
		c.note("No events.")
	}
	t := c.eventTable(e)
	for _, ev := range all {
		t.add(eventRow(ev)...)
	}
	return t.flush()
}

// watchEvents prints events as they come, each on its line.
func (c *cli) watchEvents(ctx context.Context, s *session, e *eventFlags, since time.Time, wanted func(spec.Event) bool) error {
	t := c.eventTable(e)
	t.widths = []int{9, 7, 12, 16, 5} // usual ones, as those to come aren't known
	var failed error
	err := s.host.Events(ctx, since, true, func(ev spec.Event) bool {
		switch {
		case !wanted(ev):
		case e.out.value == "json":
			failed = json.NewEncoder(c.out).Encode(ev)
		case e.out.value == "yaml":
			if _, failed = c.out.Write([]byte("---\n")); failed == nil {
				failed = c.encode("yaml", ev)
			}
		default:
			t.add(eventRow(ev)...)
			failed = t.flush()
		}
		return failed == nil
	})
	return errors.Join(failed, err)
}

func (c *cli) eventTable(e *eventFlags) *table {
	t := &table{out: c.out}
	if !e.noHeaders {
		t.header = []string{"LAST SEEN", "TYPE", "REASON", "OBJECT", "COUNT", "MESSAGE"}
	}
	return t
}

func eventRow(e spec.Event) []string {
	return []string{age(time.Since(e.At)), e.Type, e.Reason, "daemon/" + e.Name, strconv.Itoa(max(e.Count, 1)), firstLine(e.Message)}
}

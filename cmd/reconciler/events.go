package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"reconciler.dev/reconciler/pkg/spec"
)

type eventFlags struct {
	hostFlags
	out        *enum
	only, from string
	types      []string
	noHeaders  bool
	watch      bool
}

func (c *cli) eventsCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "events [--for NAME]", Short: "List what happened to daemons",
		Long: `List what happened to daemons, oldest first, by the clocks of those who saw it. What happened several times is one event, as in "2s (x12 over 3m)". Each host keeps what happened
to its daemons; that a host couldn't be reached is kept here, by the run or apply that found it so. With -w it goes on, also after the link to a host was lost and is there again; -o json then
prints one object a line.`,
		Example: `  reconciler events --for web --since 1h
  reconciler events -A -w --types Warning
  reconciler events --for host/gpu-1`,
		Args: noArgs,
	}
	var e eventFlags
	e.out = enumFlag(cmd, "output", "o", "output format", "", "json", "yaml")
	c.hostsFlags(cmd, &e.hostFlags)
	f := cmd.Flags()
	f.StringVar(&e.only, "for", "", "only events of this daemon or host: NAME, daemon/NAME or host/NAME")
	f.StringSliceVar(&e.types, "types", nil, "only events of these types: Normal, Warning")
	f.StringVar(&e.from, "since", "", "only events newer than this, as in 10m, or since this time (RFC 3339)")
	f.BoolVar(&e.noHeaders, "no-headers", false, "leave out the line of column names")
	f.BoolVarP(&e.watch, "watch", "w", false, "go on and print each event as it happens")
	complete(cmd, "types", []string{"Normal", "Warning"})
	_ = cmd.RegisterFlagCompletionFunc("for", c.completeName)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return c.eventsOf(cmd.Context(), &e) }
	return cmd
}

// eventsOf opens the hosts and lists or follows their events.
func (c *cli) eventsOf(ctx context.Context, e *eventFlags) error {
	for _, t := range e.types {
		if t != "Normal" && t != "Warning" {
			return usagef("--types takes Normal and Warning, not %q", t)
		}
	}
	since, err := sinceWhen(e.from, time.Now())
	if err != nil {
		return err
	}
	if err := e.check(); err != nil {
		return err
	}
	inv, at, err := c.chosen(e.hostFlags)
	if err != nil {
		return err
	}
	here, err := c.journal(c)
	if err != nil {
		return err
	}
	defer func() { _ = here.Close() }()
	w := wanted{types: e.types, at: at, all: e.hostFlags.here()}
	w.name, w.host = objectWord(e.only)
	if w.host != "" {
		w.all, at = true, nil // this machine alone knows of it
	}
	l := timeline{cli: c, flags: e, since: since, wanted: w, here: here, beyond: slices.ContainsFunc(at, func(h string) bool { return h != "" })}
	at = slices.DeleteFunc(slices.Clone(at), func(h string) bool { return h == "" })
	sites, err := c.openSites(ctx, inv, at, e.parallel, c.looking)
	if err != nil {
		return err
	}
	defer func() { closeSites(sites) }()
	if !e.watch {
		return unreached(sites, l.list(ctx, sites))
	}
	if err := l.follow(ctx, inv, sites); !errors.Is(err, context.Canceled) {
		return unreached(sites, err)
	}
	return nil
}

// sinceWhen is the time that --since means; none where it says nothing.
func sinceWhen(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return time.Time{}, usagef("--since %s: write how long ago, as in 10m, or a time as in %s", text, "2026-01-31T15:04:05Z")
	}
	return now.Add(-d), nil
}

// objectWord is what --for names: a daemon, or a host.
func objectWord(text string) (daemon, host string) {
	if host, is := strings.CutPrefix(text, "host/"); is {
		return "", host
	}
	return strings.TrimPrefix(text, "daemon/"), ""
}

// happened is an event, and the host that it is of.
type happened struct {
	Host string `json:"host,omitempty"`
	spec.Event
}

// wanted are the events that are asked for.
type wanted struct {
	name, host string
	types      []string
	at         []string // hosts; empty for this one
	all        bool     // whatever host an event of this machine is about
}

// take returns the event of a host as it is shown, and whether it is wanted. What another machine says of hosts is about those that it keeps, not about ours.
func (w wanted) take(at string, e spec.Event) (happened, bool) {
	ofHost := e.Name == "" && e.Host != ""
	switch {
	case len(w.types) > 0 && !slices.Contains(w.types, e.Type):
	case ofHost:
		return happened{e.Host, e}, at == "" && w.name == "" && (w.host == e.Host || w.host == "" && (w.all || slices.Contains(w.at, e.Host)))
	case w.host != "" || w.name != "" && w.name != e.Name:
	case slices.Contains(w.at, at):
		return happened{at, e}, true
	}
	return happened{}, false
}

// eventTable has a column for the host first where there is more to show than this machine.
type eventTable struct {
	table
	hosts bool
}

func (l *timeline) table() *eventTable {
	t := &eventTable{table{out: l.out}, l.beyond}
	if l.flags.noHeaders {
		return t
	}
	t.header = []string{"LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"}
	if t.hosts {
		t.header = append([]string{"HOST"}, t.header...)
	}
	return t
}

func (t *eventTable) add(e happened) {
	object := "daemon/" + e.Name
	if e.Name == "" {
		object = "host/" + e.Host
	}
	row := []string{lastSeen(e.Event, time.Now()), e.Type, e.Reason, object, firstLine(e.Message)}
	if t.hosts {
		row = append([]string{hostWord(e.Host)}, row...)
	}
	t.table.add(row...)
}

// lastSeen says when an event happened last, and how often since when, as kubectl does.
func lastSeen(e spec.Event, now time.Time) string {
	text := age(now.Sub(e.At))
	if e.Count > 1 {
		text += fmt.Sprintf(" (x%d over %s)", e.Count, age(now.Sub(e.First)))
	}
	return text
}

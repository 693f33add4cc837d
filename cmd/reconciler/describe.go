package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/spec"
)

func (c *cli) describeCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "describe (NAME... | -l SELECTOR | -f FILE)", Short: "Tell all about daemons",
		Long:              "Tell all that is known of daemons: what was applied, what is live, what was lost, what somebody changed, and what happened.",
		ValidArgsFunction: c.completeNames,
	}
	var t aims
	c.inputFlags(cmd, &t.inputs)
	c.hostsFlags(cmd, &t.hostFlags)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		all, err := c.meant(ctx, t, args, c.looking)
		if err != nil {
			return err
		}
		defer closeSites(sitesOf(all))
		pages, errs := make([][][]byte, len(all)), make([]error, len(all))
		each(t.parallel, all, func(i int) {
			if m := all[i]; m.lost == nil && len(m.names) > 0 {
				pages[i], errs[i] = m.descriptions(ctx, m.names)
			}
		})
		if _, err := c.out.Write(bytes.Join(slices.Concat(pages...), []byte("\n\n"))); err != nil {
			return err
		}
		return unreached(sitesOf(all), errors.Join(errs...))
	}
	return cmd
}

// descriptions are those of the daemons that are there; the error names the others.
func (s *session) descriptions(ctx context.Context, names []string) (pages [][]byte, err error) {
	views, missing := s.look(ctx, names...)
	recent, err := s.recentEvents(ctx, names)
	holders, herr := s.host.Holders(ctx)
	places, details := s.logPlacesOf(ctx, views), s.details(ctx, views)
	for i, v := range views {
		var b bytes.Buffer
		s.describe(&b, v, about{recent[v.Observed.Name], holders, places[i], details[i], time.Now()})
		pages = append(pages, b.Bytes())
	}
	return pages, errors.Join(missing, err, herr)
}

// eventsShown is how many of the last events describe prints.
const eventsShown = 10

func (s *session) recentEvents(ctx context.Context, names []string) (map[string][]spec.Event, error) {
	recent := map[string][]spec.Event{}
	err := s.host.Events(ctx, time.Time{}, false, func(e spec.Event) bool {
		if slices.Contains(names, e.Name) {
			last := append(recent[e.Name], e)
			recent[e.Name] = last[max(0, len(last)-eventsShown):]
		}
		return true
	})
	return recent, err
}

// page writes the sections of a description.
type page struct{ *bytes.Buffer }

func (p page) field(name, value string) {
	if value != "" {
		fmt.Fprintf(p, "%-14s%s\n", name+":", clean(value))
	}
}

func (p page) section(name string, header []string, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(p, "%s:\n", name)
	var b bytes.Buffer
	t := table{out: &b, header: header}
	for _, r := range rows {
		t.add(r...)
	}
	_ = t.flush() // into a buffer
	for line := range strings.Lines(b.String()) {
		p.WriteString("  " + line)
	}
}

// about is what is told of a daemon beside its view.
type about struct {
	events  []spec.Event
	holders []drivers.Holder
	log     string // where its output goes
	detail  detail
	now     time.Time
}

func (s *session) describe(b *bytes.Buffer, v reconcile.View, a about) {
	p, o, now := page{b}, v.Observed, a.now
	obj := makeObject(s.host.Name(), v)
	obj.Status.tell(a.detail)
	st := obj.Status
	p.field("Name", o.Name)
	p.field("Labels", pairs(obj.Metadata.Labels))
	p.field("Annotations", pairs(obj.Metadata.Annotations))
	p.field("Host", st.Host)
	p.field("Driver", string(st.Driver))
	for _, u := range v.Fallback {
		p.field("Not "+string(u.Kind), u.Advice())
	}
	if st.Service != o.Name {
		p.field("Service", st.Service)
	}
	p.field("Instance", st.Instance)
	p.field("Cgroup", st.Cgroup)
	p.field("Set", st.Set)
	p.field("Kept by", keptBy(st.Holder, a.holders))
	p.field("Status", st.Phase)
	p.field("Message", st.Message)
	if o.Paused != nil {
		p.field("Paused", "since "+when(o.Paused.At, now)+by(o.Paused.By)+"; reconciler start starts it again")
	}
	if o.Held != nil {
		p.field("Rollout", "paused since "+when(o.Held.At, now)+by(o.Held.By)+"; reconciler rollout resume lets changes of it go on")
	}
	describeInstance(p, o, now)
	describeDetail(p, a.detail)
	p.field("Health", st.Health)
	if o.Stamp != nil {
		p.field("Binary", s.located(o.Stamp.Spec.Binary))
		p.field("Generation", fmt.Sprintf("%d, applied %s by reconciler %s", o.Stamp.Generation, when(o.Stamp.AppliedAt, now), o.Stamp.Tool))
		p.field("Log", a.log)
	}
	p.section("Copies", []string{"COPY", "SLOT", "PID", "GENERATION", "STATUS", "SINCE", "READY"}, copyRows(v, now))
	p.section("Conditions", []string{"TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"}, conditionRows(v.Conditions, now))
	p.section("Limits", []string{"FIELD", "ASKED", "ENFORCED"}, limitRows(st.Limits))
	p.section("Lost", []string{"FIELD", "REASON"}, lossRows(st.Lost, st.Limits))
	p.section("Drift", []string{"FIELD", "WANT", "HAVE"}, driftRows(o.Drift))
	if o.Stamp != nil {
		p.WriteString("Spec:\n")
		for line := range strings.Lines(asYAML(obj.Spec)) {
			p.WriteString("  " + cleanLines(line))
		}
	}
	var rows [][]string
	for _, e := range a.events {
		rows = append(rows, []string{lastSeen(e, now), e.Type, e.Reason, firstLine(e.Message)})
	}
	p.section("Events", []string{"LAST SEEN", "TYPE", "REASON", "MESSAGE"}, rows)
}

func describeInstance(p page, o spec.Observed, now time.Time) {
	in := o.Instance
	if in == nil {
		p.field("Started", "never")
		return
	}
	if in.Exit == nil {
		p.field("PID", strconv.Itoa(in.PID))
		p.field("Started", in.StartedAt.Local().Format(time.DateTime)+" (up "+age(in.Up)+")")
	} else {
		p.field("Started", when(in.StartedAt, now))
	}
	if o.Stamp != nil && in.Exit == nil && in.Generation != o.Stamp.Generation {
		p.field("Runs", fmt.Sprintf("generation %d", in.Generation))
	}
	p.field("Restarts", strconv.Itoa(in.Restarts))
	if e := exitOf(o); e != nil {
		p.field("Last exit", e.String()+", "+when(e.At, now))
	}
}

// describeDetail tells which processes there are and where they listen, where anything runs, and what of that isn't known.
func describeDetail(p page, d detail) {
	if len(d.pids) > 1 {
		p.field("PIDs", strings.Trim(fmt.Sprint(d.pids), "[]"))
	}
	p.field("Ports", strings.Join(portWords(d.ports), " "))
	for _, m := range d.missing {
		p.field(map[string]string{"pids": "PIDs", "ports": "Ports"}[m.Field], "unknown: "+m.Reason)
	}
}

func conditionRows(cs []spec.Condition, now time.Time) (rows [][]string) {
	for _, c := range cs {
		rows = append(rows, []string{string(c.Type), string(c.Status), c.Reason, age(now.Sub(c.LastTransitionTime)), firstLine(c.Message)})
	}
	return rows
}

func limitRows(l *limits) (rows [][]string) {
	if l == nil {
		return nil
	}
	fields := maps.Clone(l.Asked)
	for f := range l.Lost {
		fields[f] = l.Asked[f]
	}
	for _, f := range slices.Sorted(maps.Keys(fields)) {
		enforced := l.Enforced[f]
		if why, lost := l.Lost[f]; lost {
			enforced = "no: " + why
		}
		rows = append(rows, []string{f, l.Asked[f], enforced})
	}
	return rows
}

// lossRows are the losses of what isn't a limit, as of a sandbox.
func lossRows(lost []spec.Loss, l *limits) (rows [][]string) {
	for _, loss := range lost {
		if _, shown := l.Lost[strings.TrimPrefix(loss.Field, "spec.")]; !shown {
			rows = append(rows, []string{loss.Field, loss.Reason})
		}
	}
	return rows
}

func driftRows(ds []spec.Drift) (rows [][]string) {
	for _, d := range ds {
		rows = append(rows, []string{d.Field, d.Want, d.Have})
	}
	return rows
}

func pairs(m map[string]string) string {
	var kv []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		kv = append(kv, k+"="+m[k])
	}
	return strings.Join(kv, ", ")
}

// keptBy is the run with that id, for people.
func keptBy(id string, holders []drivers.Holder) string {
	for _, h := range holders {
		if h.ID == id {
			return fmt.Sprintf("%s (pid %d, since %s)", h.Command, h.PID, h.Since.Local().Format(time.DateTime))
		}
	}
	return id
}

func by(who string) string {
	if who == "" {
		return ""
	}
	return " by " + who
}

// when is a time for people: the local wall clock, and how long ago that is.
func when(t, now time.Time) string {
	if t.IsZero() {
		return "at a time that is not known"
	}
	return t.Local().Format(time.DateTime) + " (" + age(now.Sub(t)) + " ago)"
}

// logPlace is where a daemon's output goes.
func (s *session) logPlace(o spec.Observed) string {
	if d, err := s.host.Driver(o.Driver); err == nil {
		if keeper, ok := drivers.Find[drivers.Logger](d); ok && keeper.LogPlace(o.Stamp) != "" {
			return keeper.LogPlace(o.Stamp)
		}
	}
	if o.Stamp.Spec.Log.Path != "" {
		return o.Stamp.Spec.Log.Path
	}
	return filepath.Join(s.dirs.Log, o.Stamp.Name+".log")
}

// located is a program's path, and which of the places that programs are looked up in that is, on the machine that runs it.
func (s *session) located(path string) string {
	home, dirs, dir := s.facts.Home, filepath.SplitList(s.facts.Path), filepath.Dir(path)
	switch {
	case s.facts.Programs != "" && filepath.Dir(dir) == s.facts.Programs:
		return path + " (kept by its content)"
	case home != "" && dir == filepath.Join(home, ".local", "bin"):
		return path + " (in ~/.local/bin)"
	case len(dirs) > 0 && dir == dirs[0]:
		return path + " (where programs are installed)"
	case slices.Contains(dirs, dir):
		return path + " (in PATH)"
	case strings.HasSuffix(dir, "/target/release"), strings.HasSuffix(dir, "/target/debug"):
		return path + " (built beside the manifest)"
	}
	return path
}

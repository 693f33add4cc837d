package page

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"reconciler.dev/reconciler/internal/figure"
	"reconciler.dev/reconciler/internal/web"
	"reconciler.dev/reconciler/pkg/spec"
)

const (
	// loadTime is how long a daemon's page waits for what its host has to be asked for.
	loadTime = 3 * time.Second
	// The most that is shown of what has no end of its own.
	eventCount = 50
	factCount  = 100
	logLines   = 200
	logShown   = 32 << 10
	diffShown  = 32 << 10
)

// The sections of a daemon's page, as its elements' ids have them.
const (
	sectionNow   = "now" // how it is, conditions and placement
	sectionUsage = "usage"
	sectionDiff  = "diff"
	sectionEvent = "events"
	sectionLog   = "log"
)

func sections() []string {
	return []string{sectionNow, sectionUsage, sectionEvent, sectionDiff, sectionLog}
}

// detail is what the template of a daemon's page is made of.
type detail struct {
	Version   string
	ID        int
	Now, Host string
	Time      int64
	Name      string
	Trouble   string
	state
	Conditions []conditionView
	Facts      []fact
	Plots      []plot
	Figures    []fact
	// Idle says that it is known not to run, and so uses nothing.
	Idle      bool
	Events    events
	Diff, Log text
	// Want are the sections that are asked for.
	Want map[string]bool
}

// fact is a name and a value.
type fact struct{ Name, Value string }

type conditionView struct {
	Type, Status, Reason, Message string
	// Kind is as a state's.
	Kind string
	At   int64
}

// events are those of a daemon, the latest first. Trouble says why they aren't known.
type events struct {
	Trouble string
	All     []eventView
}

type eventView struct {
	At                    int64
	When                  string
	Type, Reason, Message string
	Count                 int
}

// text is lines to be shown as they are. Trouble says why they aren't known, Cut that they are only the end.
type text struct {
	Trouble string
	Lines   []textLine
	Cut     bool
}

// textLine has the class that it is shown in.
type textLine struct{ Class, Text string }

// daemon serves a daemon's page, or with ?section= only those sections of it.
func (p *page) daemon(w http.ResponseWriter, r *http.Request) {
	host, called, now := r.PathValue("host"), r.PathValue("name"), p.now()
	p.sheet.refresh(now)
	version := p.sheet.current() // before the rest is read, so that no change is in neither
	found, ok := p.view.Daemon(host, called)
	if !ok {
		p.render(w, r, http.StatusNotFound, "missing.html", detail{Now: clock(now), Host: name(host), Name: name(called)})
		return
	}
	select {
	case p.loads <- struct{}{}:
		defer func() { <-p.loads }()
	case <-r.Context().Done():
		return
	}
	u, _ := p.view.Usage(host, called)
	d := detail{
		Version: p.epoch + "." + strconv.FormatUint(version, 10), ID: p.sheet.id(host, called), Now: clock(now), Time: now.Unix(), Host: name(host), Name: name(called),
		state: stateOf(found, u), Conditions: conditionsOf(found), Facts: factsOf(found, u), Plots: plotsOf(p.view.Past(host, called), u, now), Figures: usageOf(found, u), Want: map[string]bool{},
	}
	d.Idle = !found.Stale && (found.State == spec.Exited || found.State == spec.Absent)
	for _, h := range p.view.Hosts() {
		if g := groupOf(h); h.Name == host && g.Trouble != "" {
			d.Trouble = strings.TrimSuffix(g.Trouble+": "+g.Why, ": ")
		}
	}
	asked := strings.Split(r.FormValue("section"), ",")
	for _, s := range sections() {
		d.Want[s] = asked[0] == "" || slices.Contains(asked, s)
	}
	p.load(r.Context(), found, &d)
	p.render(w, r, http.StatusOK, "daemon.html", d)
}

// load fills in what the host has to be asked for, all at once, and no longer than loadTime: what hasn't come by then isn't known.
func (p *page) load(ctx context.Context, of web.Daemon, d *detail) {
	ctx, cancel := context.WithTimeout(ctx, loadTime)
	defer cancel()
	var all sync.WaitGroup
	ask := func(section string, f func()) {
		if d.Want[section] {
			all.Go(f)
		}
	}
	ask(sectionEvent, func() {
		found, err := p.view.Events(ctx, of.Host, of.Name, eventCount)
		d.Events = eventsOf(found, err)
	})
	ask(sectionDiff, func() {
		diff, err := p.view.Diff(ctx, of.Host, of.Name)
		d.Diff = diffOf(diff, err)
	})
	ask(sectionLog, func() {
		var t tail
		err := p.view.Logs(ctx, of.Host, of.Name, logLines, &t)
		d.Log = logOf(&t, err)
	})
	all.Wait()
}

func conditionsOf(d web.Daemon) (all []conditionView) {
	for _, c := range d.Conditions {
		v := conditionView{Type: name(string(c.Type)), Status: name(string(c.Status)), Reason: name(c.Reason), Message: message(c.Message), At: seconds(c.LastTransitionTime), Kind: kindOff}
		good := spec.True
		if c.Type == spec.Reconciling || c.Type == spec.Stalled {
			good = spec.False
		}
		switch {
		case c.Status != spec.True && c.Status != spec.False || d.Stale:
			v.Kind = kindUnknown
		case c.Status == good:
			v.Kind = kindOK
		case c.Type == spec.Reconciling:
			v.Kind = kindBusy
		case kindOf(d) != kindOff:
			v.Kind = kindBad
		}
		all = append(all, v)
	}
	return all
}

// factsOf says what a daemon is and where it runs.
func factsOf(d web.Daemon, u web.Usage) (all []fact) {
	add := func(what, v string) {
		if v != "" && len(all) < factCount {
			all = append(all, fact{what, message(v)})
		}
	}
	add("Message", d.Message)
	add("Driver", string(d.Driver))
	for _, f := range d.Fallback {
		add("Not under", f)
	}
	add("Cgroup", d.Cgroup)
	if in := d.Instance; in != nil {
		if in.Exit == nil {
			add("Process", strconv.Itoa(in.PID)+more(len(u.PIDs)-1))
			add("Started", clock(in.StartedAt))
		}
		add("Restarts", strconv.Itoa(in.Restarts))
		add("Instance", in.ID)
	}
	add("Outgoing copy", outgoing(d.Outgoing))
	if e := d.LastExit; e != nil {
		add("Last end", ending(*e)+", "+clock(e.At))
	}
	if d.Paused != nil {
		add("Stopped by", cmp.Or(name(d.Paused.By), unknown)+", "+clock(d.Paused.At))
	}
	add("Listens on", portsOf(u))
	if s := d.Stamp; s != nil {
		add("Program", s.Spec.Binary)
		add("Health check", s.Spec.HealthURL)
		add("Owner set", s.Owner.Set)
		add("Generation", figure.Integer(s.Generation)+", applied "+clock(s.AppliedAt))
	}
	for _, x := range d.Drift {
		add("Changed by hand", x.Field+" is "+x.Have+", not "+x.Want)
	}
	for _, l := range d.Lost {
		add("Not enforced", l.Field+": "+l.Reason)
	}
	for _, l := range d.Limits {
		add("Limit", l.Field+" = "+l.Value)
	}
	add("In its place", d.Foreign)
	return append(all, fact{"Last look", clock(d.Seen)})
}

// outgoing tells of the copy that runs beside a daemon while it is updated.
func outgoing(in *spec.Instance) string {
	if in == nil || in.ID == "" || in.Exit != nil {
		return ""
	}
	return "Process " + strconv.Itoa(in.PID) + " of generation " + figure.Integer(in.Generation) + ", started " + clock(in.StartedAt) + "; it goes when the new one is Ready, and the figures are without it"
}

func more(n int) string {
	if n < 1 {
		return ""
	}
	return " and " + strconv.Itoa(n) + " more"
}

// portsOf are where a daemon listens, the first of very many.
func portsOf(u web.Usage) string {
	if u.Ports == nil {
		return ""
	}
	var all []string
	for _, p := range u.Ports[:min(len(u.Ports), 20)] {
		all = append(all, p.Network+" "+p.Address+":"+strconv.Itoa(p.Port))
	}
	if len(u.Ports) > 20 {
		all = append(all, "…")
	}
	return cmp.Or(message(strings.Join(all, ", ")), "no port")
}

// eventsOf shows the latest first.
func eventsOf(found []spec.Event, err error) (e events) {
	if err != nil {
		return events{Trouble: message(err.Error())}
	}
	for _, ev := range slices.Backward(found[max(0, len(found)-eventCount):]) {
		e.All = append(e.All, eventView{
			At: seconds(ev.At), When: clock(ev.At), Type: name(ev.Type), Reason: name(ev.Reason), Message: message(ev.Message), Count: max(ev.Count, 1),
		})
	}
	return e
}

package web

import (
	"context"
	"net/http"
	"runtime"
	"strings"
	"time"
)

// metrics answers with all figures of hosts, daemons and the run itself: as OpenMetrics (https://github.com/prometheus/OpenMetrics) where that is asked for, and else in Prometheus' own
// format. The number of series is bounded by that of the daemons. What isn't known is left out.
type metrics struct {
	view             View
	loop             *Loop
	looked, measured []family
	started          time.Time
}

func newMetrics(v View, l *Loop) *metrics {
	return &metrics{view: v, loop: l, looked: lookedFamilies(), measured: measuredFamilies(), started: time.Now()}
}

const (
	// figuresOf is the age that figures may have without saying so.
	figuresOf = time.Second
	// firstWithin is how long a scrape waits for the first figures of a host that is slow. Those that aren't there by then are told the next time.
	firstWithin = 3 * time.Second
)

// ServeHTTP answers a scrape.
func (m *metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	open := strings.Contains(strings.Join(r.Header.Values("Accept"), ","), "application/openmetrics-text")
	kind := "text/plain; version=0.0.4; charset=utf-8"
	if open {
		kind = "application/openmetrics-text; version=1.0.0; charset=utf-8"
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Vary", "Accept")
	if r.Method == http.MethodHead {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), firstWithin)
	defer cancel()
	m.view.Expect(ctx, figuresOf)
	e := newEncoder(w, open)
	m.daemons(e)
	m.hosts(e)
	m.loop.write(e)
	m.process(e)
	_ = e.close() // whoever asked is gone
}

func (m *metrics) daemons(e *encoder) {
	all, now := m.view.Daemons(), time.Now()
	rows := make([]row, len(all))
	for i := range all {
		d := &all[i]
		rows[i] = row{Daemon: d, labels: label("host", d.Host).and(label("daemon", d.Name))}
		if u, ok := m.view.Usage(d.Host, d.Name); ok && !d.Stale {
			rows[i].use, rows[i].of = u, timeOf(u, now)
		}
	}
	for _, f := range m.looked {
		e.family(f.name, f.kind, f.unit, f.help)
		for i := range rows {
			f.write(e, &rows[i])
		}
	}
	for _, f := range m.measured {
		e.family(f.name, f.kind, f.unit, f.help)
		for i := range rows {
			e.of = rows[i].of
			f.write(e, &rows[i])
		}
	}
	e.of = time.Time{}
}

// timeOf is the time that figures bear which aren't of now: it is as far from when they were read as those may be that bear none. So no scrape of one reading has a time before that of
// another scrape, which Prometheus would throw away.
func timeOf(u Usage, now time.Time) time.Time {
	if until := u.Read.Add(figuresOf); now.After(until) {
		return until
	}
	return time.Time{}
}

func (m *metrics) hosts(e *encoder) {
	all := m.view.Hosts()
	e.family("reconciler_host_reachable", gauge, "", "Whether the host can be reached and its daemons are kept; left out before it was tried.")
	for _, h := range all {
		if h.Reachable || h.Why != NotReachedYet {
			e.int(label("host", h.Name), "", one(h.Reachable))
		}
	}
	e.family("reconciler_host_links_lost", counter, "", "Links to the host that were lost.")
	for _, h := range all {
		e.int(label("host", h.Name), "", int64(h.Lost))
	}
}

// process writes what is known of this process, in the words of Prometheus' clients.
func (m *metrics) process(e *encoder) {
	e.family("reconciler_build", info, "", "The Go that this program was built with.")
	e.int(label("go_version", runtime.Version()), "", 1)
	e.family("process_start_time_seconds", gauge, "seconds", "When this program began to listen, since 1970.")
	e.seconds("", "", time.Duration(m.started.UnixNano()))
	e.family("go_goroutines", gauge, "", "Goroutines.")
	e.int("", "", int64(runtime.NumGoroutine()))
	processFamilies(e)
}

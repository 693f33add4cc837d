package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"reconciler.dev/reconciler/internal/figure"
	"reconciler.dev/reconciler/pkg/spec"
)

// topView is what top shows: pure, so that a test is a terminal as good as any.
type topView struct {
	hosts []string // in the order in which they were named
	of    map[string]*topHost
	now   time.Time // of the last measurement

	sortBy   string
	reverse  bool
	perHost  bool // one row for each host
	filter   string
	typing   bool // the filter
	help     bool
	first    int // the row at the top
	selected int
	page     int // how many rows there was room for
}

// topHost is what is known of a host.
type topHost struct {
	found []measured
	err   error
	heard bool
	cpu   map[string][]*float64 // by daemon, oldest first
}

// topRow is a line of top.
type topRow struct {
	measured
	history []*float64
}

// historyLength is how many measurements are remembered.
const historyLength = 12

func newTopView(sites []*site, sortBy string) *topView {
	v := &topView{of: map[string]*topHost{}, sortBy: sortBy, page: 1}
	for _, s := range sites {
		v.hosts = append(v.hosts, s.name())
		v.of[s.name()] = &topHost{err: s.lost, cpu: map[string][]*float64{}}
	}
	return v
}

// update takes in what a host said, or why nothing is known of it any more.
func (v *topView) update(host string, found []measured, err error) {
	h, found := v.of[host], rowsOf(found)
	h.found, h.err, h.heard = found, err, true
	was := h.cpu
	h.cpu = make(map[string][]*float64, len(found))
	for _, m := range found {
		if m.At.After(v.now) {
			v.now = m.At
		}
		if m.Rates != nil {
			shares := append(was[m.Name], m.Rates.CPU)
			h.cpu[m.Name] = shares[max(0, len(shares)-historyLength):]
		}
	}
}

// rows are the lines in their order, without those that the filter leaves out.
func (v *topView) rows() []topRow {
	var rows []topRow
	for _, host := range v.hosts {
		h := v.of[host]
		var of []topRow
		for _, m := range h.found {
			if v.filter == "" || strings.Contains(m.Name, v.filter) || strings.Contains(m.Host, v.filter) {
				of = append(of, topRow{m, h.cpu[m.Name]})
			}
		}
		if v.perHost && len(of) > 0 {
			of = []topRow{sumOf(host, of)}
		}
		rows = append(rows, of...)
	}
	by := sortings()[v.sortBy]
	slices.SortStableFunc(rows, func(a, b topRow) int {
		c := cmp.Or(by(a, b), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Name, b.Name))
		if v.reverse {
			return -c
		}
		return c
	})
	return rows
}

// sumOf is a host as a row. What isn't known of one daemon isn't known of their sum.
func sumOf(host string, of []topRow) topRow {
	sum := topRow{measured: measured{Host: host, Sample: spec.Sample{State: spec.Exited}, Rates: &spec.Rate{}}}
	first, daemons := true, 0
	for _, r := range of {
		if !r.goes {
			daemons++
		}
		if r.State == spec.Exited {
			continue
		}
		rates := spec.Rate{}
		if r.Rates != nil {
			rates = *r.Rates
		}
		add(first, &sum.Rates.CPU, rates.CPU)
		add(first, &sum.Rates.ReadBytes, rates.ReadBytes)
		add(first, &sum.Rates.WriteBytes, rates.WriteBytes)
		add(first, &sum.CPU.Usage, r.CPU.Usage)
		add(first, &sum.Memory.Current, r.Memory.Current)
		add(first, &sum.Tasks, r.Tasks)
		add(first, &sum.OpenFiles, r.OpenFiles)
		first, sum.State = false, spec.Running
	}
	sum.Name = plural(daemons, "daemon")
	return sum
}

// add adds to a sum that begins with first, and isn't known where a part isn't.
func add[N ~int64 | ~float64](first bool, sum **N, part *N) {
	switch {
	case part == nil:
		*sum = nil
	case first:
		n := *part
		*sum = &n
	case *sum != nil:
		**sum += *part
	}
}

// sortings are the orders by their words. The most comes first, and what isn't known last.
func sortings() map[string]func(a, b topRow) int {
	rate := func(of func(spec.Rate) *float64) func(a, b topRow) int {
		get := func(r topRow) *float64 {
			if r.Rates == nil {
				return nil
			}
			return of(*r.Rates)
		}
		return func(a, b topRow) int { return most(get(a), get(b)) }
	}
	return map[string]func(a, b topRow) int{
		"cpu":       rate(func(r spec.Rate) *float64 { return r.CPU }),
		"throttled": rate(func(r spec.Rate) *float64 { return r.Throttled }),
		"read":      rate(func(r spec.Rate) *float64 { return r.ReadBytes }),
		"write":     rate(func(r spec.Rate) *float64 { return r.WriteBytes }),
		"memory":    func(a, b topRow) int { return most(a.Memory.Current, b.Memory.Current) },
		"time":      func(a, b topRow) int { return most(a.CPU.Usage, b.CPU.Usage) },
		"tasks":     func(a, b topRow) int { return most(a.Tasks, b.Tasks) },
		"files":     func(a, b topRow) int { return most(a.OpenFiles, b.OpenFiles) },
		"name":      func(a, b topRow) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Host, b.Host)) },
		"host":      func(a, b topRow) int { return cmp.Compare(a.Host, b.Host) },
	}
}

// sortWords are the orders as < and > step through them, the default first.
func sortWords() []string {
	return []string{"cpu", "memory", "time", "throttled", "read", "write", "tasks", "files", "name", "host"}
}

func most[N cmp.Ordered](a, b *N) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return 1
	case b == nil:
		return -1
	}
	return cmp.Compare(*b, *a)
}

// summary is the first line: how much there is, and what it uses together.
func (v *topView) summary() string {
	daemons, running, reached := 0, 0, 0
	var cpu, memory float64
	sureCPU, sureMemory := true, true
	for _, host := range v.hosts {
		h := v.of[host]
		if h.heard && h.err == nil {
			reached++
		}
		for _, m := range h.found {
			if !m.goes {
				daemons++
			}
			if m.State == spec.Running && !m.goes {
				running++
			}
			if m.Rates != nil && m.Rates.CPU != nil {
				cpu += *m.Rates.CPU
			} else if m.State != spec.Exited {
				sureCPU = false
			}
			if m.Memory.Current != nil {
				memory += float64(*m.Memory.Current)
			} else if m.State != spec.Exited {
				sureMemory = false
			}
		}
	}
	least := func(sure bool) string {
		if sure && reached == len(v.hosts) {
			return ""
		}
		return "at least "
	}
	clock := ""
	if !v.now.IsZero() {
		clock = v.now.Local().Format("15:04:05") + "  "
	}
	return fmt.Sprintf("%s%d of %s run on %d of %s   CPU %s%s%%   MEM %s%s", clock, running, plural(daemons, "daemon"), reached, plural(len(v.hosts), "host"),
		least(sureCPU), figure.Percent(cpu), least(sureMemory), figure.Amount(memory))
}

package page

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// overview is what the template of / is made of.
type overview struct {
	Version     string
	Time        int64
	Now         string
	Query, Kind string
	Tallies     []tally
	// Hosts and Unreached say how many there are, and how many of them can't be asked; the second is empty where that is none.
	Hosts, Unreached string
	Groups           []section
	// Blank and BlankRow are what the script makes new hosts and rows of.
	Blank    section
	BlankRow rowView
}

// tally counts the daemons of a kind; the first is all of them, and has none.
type tally struct {
	Kind, Word, Query string
	Count             int
	Chosen            bool
}

// section is a host with its daemons.
type section struct {
	ID int
	group
	Rows   []rowView
	Hidden bool
}

// rowView is a daemon's row.
type rowView struct {
	ID        int
	Name, URL string
	State     state
	Note      note
	Figures   figures
	Hidden    bool
}

func kinds() []string { return []string{kindOK, kindBusy, kindBad, kindOff, kindUnknown} }

// kindWord is a kind for people.
func kindWord(kind string) string {
	return map[string]string{"": "All", kindOK: "Well", kindBusy: "In progress", kindBad: "Failing", kindOff: "Stopped", kindUnknown: "Unknown"}[kind]
}

func (p *page) overview(w http.ResponseWriter, r *http.Request) {
	now := p.now()
	p.sheet.refresh(now)
	o := p.sheet.overview(name(r.FormValue("q")), r.FormValue("state"))
	o.Version, o.Time, o.Now = p.epoch+"."+o.Version, now.Unix(), clock(now)
	p.render(w, r, http.StatusOK, "overview.html", o)
}

// overview is the whole sheet. What doesn't match query and kind is hidden, as the script hides it.
func (s *sheet) overview(query, kind string) overview {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(kinds(), kind) {
		kind = ""
	}
	o := overview{Version: strconv.FormatUint(s.version, 10), Query: query, Kind: kind, Groups: make([]section, len(s.hosts))}
	o.BlankRow.Figures = figures{unknown, unknown, -1} // whose nodes the script changes
	unreached := 0
	of, counts := map[*entry]*section{}, map[string]int{"": len(s.daemons)}
	for i, e := range s.hosts {
		o.Groups[i] = section{ID: e.id, group: e.group, Hidden: query != "" || kind != ""}
		of[e] = &o.Groups[i]
		if e.group.Trouble != "" {
			unreached++
		}
	}
	o.Hosts = plural(len(s.hosts), "host")
	if unreached > 0 {
		o.Unreached = strconv.Itoa(unreached) + " not reached"
	}
	for _, e := range s.daemons {
		counts[e.state.Kind]++
		g, row := of[e.host], rowView{ID: e.id, Name: e.name, URL: e.url, State: e.state, Note: e.note, Figures: e.figures}
		row.Hidden = !e.matches(query, kind)
		g.Hidden = g.Hidden && row.Hidden
		g.Rows = append(g.Rows, row)
	}
	for _, k := range append([]string{""}, kinds()...) {
		o.Tallies = append(o.Tallies, tally{Kind: k, Word: kindWord(k), Query: query, Count: counts[k], Chosen: k == kind})
	}
	return o
}

// matches says whether a daemon is of the kind, where one is given, and has the query in its name, its host's, or the words of its row.
func (e *entry) matches(query, kind string) bool {
	text := strings.ToLower(strings.Join([]string{e.name, e.host.group.Name, e.state.Phase, e.note.Text}, "\n"))
	return (kind == "" || e.state.Kind == kind) && strings.Contains(text, strings.ToLower(query))
}

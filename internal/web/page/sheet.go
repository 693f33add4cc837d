package page

import (
	"slices"
	"sync"
	"time"

	"reconciler.dev/reconciler/internal/web"
)

// The parts of an entry that change apart from each other. A host has the first two.
const (
	partBirth = iota
	partState
	partNote
	partFigures
	parts
)

// tombs is how many entries that are gone are remembered.
const tombs = 2000

// entry is a host or a daemon as all readers see it.
type entry struct {
	id   int // unique in the sheet; the page's element is i and the id
	name string
	// at is the sheet's version at which each part changed last.
	at   [parts]uint64
	seen uint64 // the refresh that found it

	group group // of a host

	host    *entry // of a daemon, and so is all that follows
	url     string
	state   state
	note    note
	figures figures
}

// key is how a view names an entry; name is empty for a host.
type key struct{ host, name string }

// tomb is an entry that is gone.
type tomb struct {
	id int
	at uint64
}

// sheet is the overview as text, made once for all readers, with a version that grows with every part that changes. So a reader is owed the parts above the version it has,
// in their order, and may go on after any of them. All methods may be called concurrently.
type sheet struct {
	view web.View

	mu      sync.Mutex
	version uint64
	entries map[key]*entry
	ids     int
	// hosts and daemons are those that the last refresh found, in the view's order.
	hosts, daemons []*entry
	// buried is ordered; what is at or below lost was forgotten.
	buried []tomb
	lost   uint64

	refreshes uint64
	read      time.Time
	seq       uint64
}

func newSheet(v web.View) *sheet { return &sheet{view: v, entries: map[key]*entry{}} }

// What was read of the view is good for leastAge, however many readers ask and whatever happens, and for freshFor as long as nothing has.
const (
	leastAge = 50 * time.Millisecond
	freshFor = 900 * time.Millisecond
)

// refresh reads the view, where that is due.
func (s *sheet) refresh(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seq, _ := s.view.Changed()
	if age := now.Sub(s.read).Abs(); s.refreshes > 0 && (age < leastAge || seq == s.seq && age < freshFor) {
		return
	}
	s.seq, s.read = seq, now
	s.refreshes++
	hosts, daemons := s.view.Hosts(), s.view.Daemons()
	s.hosts, s.daemons = nil, nil
	for _, h := range hosts {
		s.host(h)
	}
	measured := make([]figures, len(daemons))
	for i, d := range daemons {
		u, ok := s.view.Usage(d.Host, d.Name)
		s.daemon(d, u)
		measured[i] = figuresOf(d, u, ok)
	}
	// Where more figures change at once than an update holds, each time others come first.
	for i := range daemons {
		i = (i + int(s.refreshes*127)) % len(daemons)
		set(s, s.daemons[i], partFigures, &s.daemons[i].figures, measured[i])
	}
	s.bury()
}

func (s *sheet) find(k key) *entry {
	e := s.entries[k]
	if e == nil {
		s.ids++
		e = &entry{id: s.ids, name: name(k.name)}
		s.entries[k] = e
		s.change(e, partBirth)
	}
	e.seen = s.refreshes
	return e
}

func (s *sheet) change(e *entry, part int) {
	s.version++
	e.at[part] = s.version
}

// set changes one part of an entry, where it does change.
func set[T comparable](s *sheet, e *entry, part int, to *T, v T) {
	if *to != v || e.at[part] == 0 {
		*to = v
		s.change(e, part)
	}
}

func (s *sheet) host(h web.Host) *entry {
	e := s.find(key{host: h.Name})
	set(s, e, partState, &e.group, groupOf(h))
	s.hosts = append(s.hosts, e)
	return e
}

func (s *sheet) daemon(d web.Daemon, u web.Usage) {
	host := s.entries[key{host: d.Host}]
	if host == nil || host.seen != s.refreshes {
		host = s.host(web.Host{Name: d.Host, Why: "not listed"}) // it went between the two questions
	}
	e := s.find(key{d.Host, d.Name})
	s.daemons = append(s.daemons, e)
	if e.host == nil {
		e.host, e.url = host, path(d.Host, d.Name)
	}
	set(s, e, partState, &e.state, stateOf(d, u).settled(e.state))
	set(s, e, partNote, &e.note, noteOf(d))
}

// bury takes out what the last refresh didn't find.
func (s *sheet) bury() {
	for k, e := range s.entries {
		if e.seen != s.refreshes {
			delete(s.entries, k)
			s.version++
			s.buried = append(s.buried, tomb{e.id, s.version})
		}
	}
	if n := len(s.buried) - tombs; n > 0 {
		s.lost = s.buried[n-1].at
		s.buried = slices.Delete(s.buried, 0, n)
	}
}

// id is that of a daemon; 0 where there is none.
func (s *sheet) id(host, name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[key{host, name}]; e != nil {
		return e.id
	}
	return 0
}

// current is the version that the sheet is at.
func (s *sheet) current() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.version
}

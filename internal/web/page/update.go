package page

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"time"
)

// updateBytes bounds what one update says, and leaves room for what is around it in 10,000 bytes.
const updateBytes = 9700

// The lists of an update, in the order in which they are applied. Numbers in them are entries' ids.
const (
	listHosts   = iota // [id, name, drivers, trouble, why, since]
	listRows           // daemons that are new: [id, host's id, name, path]
	listStates         // [id, kind, phase, why, ready, why, restarts, since, limit]
	listNotes          // [id, text, since]
	listFigures        // id, CPU, memory, fill, and so on: a list of none but these
	listGone           // id
	lists
)

func listNames() [lists]string {
	return [...]string{"hosts", "rows", "states", "notes", "figures", "gone"}
}

// update is what a reader is told at once.
type update struct {
	at    time.Time
	lists [lists][][]byte
	more  bool // there is more than it could hold
}

// text is the update as JSON in one line.
func (u *update) text() []byte {
	var b bytes.Buffer
	b.WriteString(`{"t":` + strconv.FormatInt(u.at.Unix(), 10))
	for i, name := range listNames() {
		if len(u.lists[i]) > 0 {
			b.WriteString(`,"` + name + `":[`)
			b.Write(bytes.Join(u.lists[i], []byte(",")))
			b.WriteByte(']')
		}
	}
	b.WriteByte('}')
	return b.Bytes()
}

// owed is a part of an entry, or its end, that a reader hasn't seen.
type owed struct {
	at   uint64
	part int
	of   *entry
	gone int
}

// since returns what has changed after version v, the oldest first and no more than an update may hold, and the version that the reader has with it; u is nil where nothing has.
// With only set, what isn't about that daemon or its host is passed over. ok is false for a reader that was away for too long: nobody knows any more what it misses.
func (s *sheet) since(v uint64, only int, now time.Time) (u *update, next uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v < s.lost || v > s.version {
		return nil, v, false
	}
	all, size := s.owed(v, only), 0
	for _, o := range all {
		list, text := o.encode()
		if size += len(text) + 1; size > updateBytes && u != nil {
			u.more = true
			return u, next, true
		}
		if next = o.at; text == nil {
			continue
		}
		if u == nil {
			u = &update{at: now}
		}
		u.lists[list] = append(u.lists[list], text)
	}
	return u, s.version, true
}

func (s *sheet) owed(v uint64, only int) (all []owed) {
	part := func(e *entry, part int) {
		if e.at[part] > v {
			all = append(all, owed{at: e.at[part], part: part, of: e})
		}
	}
	for _, e := range s.entries {
		if only != 0 && e.id != only {
			continue
		}
		for p := range parts {
			part(e, p)
		}
		if only != 0 && e.host != nil {
			part(e.host, partState)
		}
	}
	for _, t := range s.buried {
		if t.at > v && (only == 0 || only == t.id) {
			all = append(all, owed{at: t.at, gone: t.id})
		}
	}
	slices.SortFunc(all, func(a, b owed) int { return cmp.Compare(a.at, b.at) })
	return all
}

// encode is the part as it is sent, and in which list; nil for one that says nothing.
func (o owed) encode() (list int, text []byte) {
	e := o.of
	switch {
	case o.gone != 0:
		return listGone, strconv.AppendInt(nil, int64(o.gone), 10)
	case e.host == nil && o.part == partState:
		return listHosts, values(e.id, e.group.Name, e.group.Drivers, e.group.Trouble, e.group.Why, e.group.Since)
	case e.host == nil:
		return 0, nil
	case o.part == partBirth:
		return listRows, values(e.id, e.host.id, e.name, e.url)
	case o.part == partState:
		s := e.state
		return listStates, values(e.id, s.Kind, s.Phase, s.Why, s.Ready, s.ReadyWhy, s.Restarts, s.Since, s.Limit)
	case o.part == partNote:
		return listNotes, values(e.id, e.note.Text, e.note.At)
	}
	return listFigures, bytes.Trim(values(e.id, number(e.figures.CPU), e.figures.Memory, e.figures.Fill), "[]")
}

// number is a figure without the quotes, which are a tenth of an update; a sign that stands for one keeps them.
func number(s string) any {
	if s == unknown || s == nothing {
		return s
	}
	return json.Number(s)
}

// values is strings and numbers as a list in JSON, without a line's end.
func values(all ...any) []byte {
	text, err := json.Marshal(all)
	if err != nil {
		return []byte("[]") // strings and numbers have no error
	}
	return text
}

package local

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"time"

	"reconciler.dev/reconciler/pkg/spec"
)

// object is what an event is about: a daemon, or a host.
type object struct{ name, host string }

func objectOf(e spec.Event) object { return object{e.Name, e.Host} }

// happening is what events that say the same have in common: they are one event that happened several times.
type happening struct {
	object
	kind, reason, message string
}

func happeningOf(e spec.Event) happening { return happening{objectOf(e), e.Type, e.Reason, e.Message} }

// tally counts events, each under what it says, as it was when it happened last. It is pure.
type tally struct {
	of  map[happening]counted
	seq int // of the last event
}

// counted is an event with what came before it of the same kind, and its place in the order of last times.
type counted struct {
	spec.Event
	at int
}

// mostTallied bounds what who follows for weeks remembers; what falls out of it begins anew with one.
const mostTallied = 16 << 10

func newTally() *tally { return &tally{of: map[happening]counted{}} }

// add counts an event, which may stand for several, and returns what it comes to with those before.
func (t *tally) add(e spec.Event) spec.Event {
	k := happeningOf(e)
	if before, again := t.of[k]; again {
		first := before.First
		if first.IsZero() {
			first = before.At
		}
		if own := e.First; !own.IsZero() && own.Before(first) {
			first = own
		}
		e.Count, e.First = max(before.Count, 1)+max(e.Count, 1), first
		if e.At.Before(before.At) {
			e.At = before.At // clocks of two writers: what is told last is no earlier
		}
	} else if len(t.of) >= mostTallied {
		t.forget()
	}
	t.seq++
	t.of[k] = counted{e, t.seq}
	return e
}

// forget forgets the older half.
func (t *tally) forget() {
	maps.DeleteFunc(t.of, func(_ happening, c counted) bool { return c.at < t.seq-mostTallied/2 })
}

// sum returns one event for each kind, in the order of their last times.
func (t *tally) sum() []spec.Event {
	all := slices.SortedFunc(maps.Values(t.of), func(a, b counted) int { return a.at - b.at })
	events := make([]spec.Event, len(all))
	for i, c := range all {
		events[i] = c.Event
	}
	return events
}

// since returns what t has and before hadn't yet.
func (t *tally) since(before *tally) (news []spec.Event) {
	for _, e := range t.sum() {
		if old, known := before.of[happeningOf(e)]; !known || e.At.After(old.At) || e.Count > old.Count {
			news = append(news, e)
		}
	}
	return news
}

// compact writes events as lines of room bytes at most. Where they don't fit it is the oldest of those of whom there is the most that go, so one noisy daemon costs the others nothing.
func compact(events []spec.Event, room int) []byte {
	lines, sizes := make([][]byte, len(events)), map[object]int{}
	for i, e := range events {
		lines[i], _ = json.Marshal(e) // it was one before
		lines[i] = append(lines[i], '\n')
		sizes[objectOf(e)] += len(lines[i])
	}
	most := share(slices.Collect(maps.Values(sizes)), room)
	for i, e := range events {
		if o := objectOf(e); sizes[o] > most {
			sizes[o] -= len(lines[i])
			lines[i] = nil
		}
	}
	return bytes.Join(lines, nil)
}

// share is how much each may have at most, so that all together have room: those who want less leave theirs to the others.
func share(wants []int, room int) int {
	slices.Sort(wants)
	for i, w := range wants {
		if each := room / (len(wants) - i); w > each {
			return each
		}
		room -= w
	}
	return math.MaxInt
}

// parse returns the events in whole lines of text and how long those are. A line that is none is passed over, for a power cut or a full disk may leave anything; half an event
// before a whole one costs only the half.
func parse(text []byte, since time.Time) (events []spec.Event, whole int) {
	for {
		line, rest, ok := bytes.Cut(text[whole:], []byte("\n"))
		if !ok {
			return events, whole
		}
		whole = len(text) - len(rest)
		var e spec.Event
		if json.Unmarshal(line, &e) != nil {
			at := bytes.LastIndex(line, []byte(eventHead)) // no string of JSON has it in it
			if e = (spec.Event{}); at <= 0 || json.Unmarshal(line[at:], &e) != nil {
				continue
			}
		}
		if !e.At.Before(since) && (e.Name != "" || e.Host != "") {
			events = append(events, e)
		}
	}
}

// eventHead is how the line of an event begins.
const eventHead = `{"at":"`

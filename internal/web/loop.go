package web

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Loop counts what a run does, over all its hosts. Its zero value is ready; all methods may be called concurrently.
type Loop struct {
	mu     sync.Mutex
	looks  spread
	looked int64
	failed int64
	steps  map[step]*spread
}

// step is a kind of steps, with an outcome.
type step struct{ verb, outcome string }

// The outcomes of steps.
const (
	Done   = "done"
	Moved  = "moved" // the daemon changed before it was done; it is planned anew
	Failed = "failed"
)

// Looked counts a look at that many daemons in one call; ok is false where nothing could be looked at.
func (l *Loop) Looked(daemons int, took time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.looks.add(took)
	if ok {
		l.looked += int64(daemons)
	} else {
		l.failed++
	}
}

// Stepped counts a step with its outcome. Verbs are few.
func (l *Loop) Stepped(verb, outcome string, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.steps == nil {
		l.steps = map[step]*spread{}
	}
	s := l.steps[step{verb, outcome}]
	if s == nil {
		s = new(spread)
		l.steps[step{verb, outcome}] = s
	}
	s.add(took)
}

// spread is how long things took.
type spread struct {
	under [buckets]int64 // not cumulated
	count int64
	sum   time.Duration
}

const buckets = 8

// edges are the upper bounds of a histogram's buckets: from a look at a daemon to a stop that takes its grace period.
func edges() [buckets]time.Duration {
	const ms = time.Millisecond
	return [...]time.Duration{ms, 5 * ms, 25 * ms, 100 * ms, 500 * ms, 2500 * ms, 10 * time.Second, time.Minute}
}

func (s *spread) add(took time.Duration) {
	all := edges()
	if i, _ := slices.BinarySearch(all[:], took); i < buckets {
		s.under[i]++
	}
	s.count++
	s.sum += took
}

// write writes a histogram of the family that was begun.
func (s *spread) write(e *encoder, l labels) {
	var sum int64
	for i, edge := range edges() {
		sum += s.under[i]
		e.count("_bucket", l, label("le", string(appendSeconds(nil, edge))), sum)
	}
	e.count("_bucket", l, label("le", "+Inf"), s.count)
	e.line("_sum", l, "")
	e.buf = appendSeconds(e.buf, s.sum)
	e.end()
	e.count("_count", l, "", s.count)
}

// write writes all that was counted.
func (l *Loop) write(e *encoder) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.family("reconciler_look_duration_seconds", histogram, "seconds", "How long looks took; one is at as many daemons of a host as are due.")
	l.looks.write(e, "")
	e.family("reconciler_looked_daemons", counter, "", "Daemons that were looked at.")
	e.int("", "", l.looked)
	e.family("reconciler_look_failures", counter, "", "Looks at which nothing could be looked at.")
	e.int("", "", l.failed)
	sorted := slices.SortedFunc(maps.Keys(l.steps), func(a, b step) int {
		return cmp.Or(strings.Compare(a.verb, b.verb), strings.Compare(a.outcome, b.outcome))
	})
	e.family("reconciler_step_duration_seconds", histogram, "seconds", "How long steps took, and so how many there were, by verb and outcome.")
	for _, s := range sorted {
		l.steps[s].write(e, label("verb", s.verb).and(label("outcome", s.outcome)))
	}
}

package reconcile

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// Queue hands out the names that should be looked at, each as soon as it is due and never to two workers at once. A name that is added
// many times while it waits is handed out once; one that is added while a worker has it is handed out again after that worker's Done.
//
// Of all the times at which a name is wanted the earliest wins, and the others are forgotten: whoever handles a name decides anew when
// it wants the next look. Times are monotonic, so a clock that is set moves none of them. An idle Queue costs nothing: no goroutine,
// and one timer only while something lies in the future.
//
// All methods may be called concurrently. Make one with NewQueue.
type Queue struct {
	ready  chan struct{} // holds a token whenever due is not empty
	closed chan struct{}

	mu    sync.Mutex
	items map[string]*queueItem // names that wait or that a worker has
	due   []string              // to be handed out now, oldest first
	later laterHeap
	timer *time.Timer // nil until first needed
	armed time.Time   // what timer is set to; zero: not set
	down  bool
}

// queueItem is where one name stands: any of waiting in due, waiting in later, and being in a worker's hand.
type queueItem struct {
	name  string
	due   bool // in Queue.due, or to be put there by Done
	taken bool // a worker has it
	at    time.Time
	index int       // in Queue.later, or -1
	since time.Time // when it was put into Queue.due
}

// NewQueue returns an empty queue.
func NewQueue() *Queue {
	return &Queue{ready: make(chan struct{}, 1), closed: make(chan struct{}), items: map[string]*queueItem{}}
}

// Add makes key due now.
func (q *Queue) Add(key string) { q.AddAfter(key, 0) }

// AddAfter makes key due after d, or when it is due anyway where that is earlier.
func (q *Queue) AddAfter(key string, d time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.down {
		return
	}
	it := q.items[key]
	if it == nil {
		it = &queueItem{name: key, index: -1}
		q.items[key] = it
	}
	switch at := time.Now().Add(d); {
	case it.due:
	case d <= 0:
		q.makeDue(it)
	case it.index < 0:
		it.at = at
		heap.Push(&q.later, it)
	case at.Before(it.at):
		it.at = at
		heap.Fix(&q.later, it.index)
	}
	q.arm()
}

// Get returns the key that has been due for longest, and waits for one where there is none. The key is the caller's until Done. ok is
// false once ctx ends or the queue is shut down.
func (q *Queue) Get(ctx context.Context) (key string, ok bool) {
	if ctx.Err() != nil {
		return "", false
	}
	for {
		// A worker that took the token must look, even where its ctx has ended meanwhile: no other worker was woken.
		if key, ok := q.take(); ok {
			return key, true
		}
		select {
		case <-q.ready:
		case <-q.closed:
			return "", false
		case <-ctx.Done():
			return "", false
		}
	}
}

// Done gives back a key that Get returned. A key that was added meanwhile becomes due now.
func (q *Queue) Done(key string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	it := q.items[key]
	if it == nil || !it.taken {
		return
	}
	it.taken = false
	switch {
	case it.due:
		q.hand(it)
	case it.index < 0:
		delete(q.items, key)
	}
}

// Shutdown ends every Get, now and later, and forgets what waits. Keys that are in a worker's hand stay there until its Done.
func (q *Queue) Shutdown() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.down {
		return
	}
	q.down = true
	q.due, q.later = nil, nil
	if q.timer != nil {
		q.timer.Stop()
	}
	close(q.closed)
}

func (q *Queue) take() (string, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.down || len(q.due) == 0 {
		return "", false
	}
	it := q.items[q.due[0]]
	q.due = q.due[1:]
	if len(q.due) > 0 {
		q.signal() // one token wakes one worker, and each wakes the next
	}
	it.due, it.taken = false, true
	return it.name, true
}

// makeDue moves an item that is not due to the end of due, or leaves that to Done where a worker has it.
func (q *Queue) makeDue(it *queueItem) {
	it.due = true
	if it.index >= 0 {
		heap.Remove(&q.later, it.index)
	}
	if !it.taken {
		q.hand(it)
	}
}

func (q *Queue) hand(it *queueItem) {
	it.since = time.Now()
	q.due = append(q.due, it.name)
	q.signal()
}

// Behind is how long the key that has been due for longest has waited for a worker; 0 where none waits.
func (q *Queue) Behind() time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.down || len(q.due) == 0 {
		return 0
	}
	return time.Since(q.items[q.due[0]].since)
}

func (q *Queue) signal() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// arm sets the timer to the first of later.
func (q *Queue) arm() {
	if len(q.later) == 0 || q.later[0].at.Equal(q.armed) {
		return
	}
	q.armed = q.later[0].at
	if d := time.Until(q.armed); q.timer == nil {
		q.timer = time.AfterFunc(d, q.fire)
	} else {
		q.timer.Reset(d)
	}
}

// fire makes due what has come due, and arms the timer for the rest.
func (q *Queue) fire() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.armed = time.Time{}
	if q.down {
		return
	}
	now := time.Now()
	for len(q.later) > 0 && !q.later[0].at.After(now) {
		q.makeDue(q.later[0])
	}
	q.arm()
}

// laterHeap is a container/heap of items by the time at which they become due.
type laterHeap []*queueItem

func (h laterHeap) Len() int           { return len(h) }
func (h laterHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }

func (h laterHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *laterHeap) Push(x any) {
	it := x.(*queueItem)
	it.index = len(*h)
	*h = append(*h, it)
}

func (h *laterHeap) Pop() any {
	old := *h
	it := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	it.index = -1
	return it
}

package cgroup

import "sync"

// shared is a piece of work that many may want at once: it is done once for all who asked before it began. The zero shared is ready for use.
type shared[T any] struct {
	mu sync.Mutex
	// under is the last one that was begun, next the one that wasn't; nil: there is none.
	under, next *result[T]
}

type result[T any] struct {
	done  chan struct{}
	value T
	err   error
}

// do returns what work found at a moment after the call began. The value is others' too: it must not be changed.
func (s *shared[T]) do(work func() (T, error)) (T, error) {
	s.mu.Lock()
	mine, before := s.next, s.under
	lead := mine == nil
	if lead {
		mine = &result[T]{done: make(chan struct{})}
		s.next = mine
	}
	s.mu.Unlock()
	if !lead {
		<-mine.done
		return mine.value, mine.err
	}
	if before != nil {
		<-before.done
	}
	s.mu.Lock()
	s.under, s.next = mine, nil
	s.mu.Unlock()
	defer close(mine.done)
	mine.value, mine.err = work()
	return mine.value, mine.err
}

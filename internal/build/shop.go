package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"time"
)

// ErrNewer is why a Shop gives a build up: another one is wanted of the same program.
var ErrNewer = errors.New("something newer was saved")

// errClosed is why it gives up all.
var errClosed = errors.New("nobody waits for it any more")

// How soon a build that failed is tried again though nothing changed, because a download or a full disk may have been at fault: at first, and at most.
const (
	retryFirst = 15 * time.Second
	retryMost  = 5 * time.Minute
)

// builder is what a Shop needs of a Builder.
type builder interface {
	Look(ctx context.Context, j Job) (State, error)
	Build(ctx context.Context, j Job, force bool, out io.Writer) (State, error)
}

// Shop builds programs for somebody who asks again whenever something may have changed. A build goes on when who asked stops waiting, for the next one who asks for the same; one that asks for
// what was saved since ends it first. What failed isn't tried again, for a while, before something changes. It may be used by any number of goroutines. Make it with NewShop.
type Shop struct {
	b builder

	mu     sync.Mutex
	orders map[string]*order // by the path of the output
	closed bool
}

// order is the last build of a program.
type order struct {
	digest string
	cancel context.CancelCauseFunc
	done   chan struct{}

	// These are set when done is closed.
	state State
	err   error
	ended time.Time

	failures int // in a row, of this digest, before this one
}

// NewShop returns a Shop of b's programs.
func NewShop(b *Builder) *Shop { return newShop(b) }

func newShop(b builder) *Shop { return &Shop{b: b, orders: map[string]*order{}} }

// Get returns the program, built if that is due. out gets what the command prints, where this call is the one that starts it.
func (s *Shop) Get(ctx context.Context, j Job, out io.Writer) (State, error) {
	for {
		st, err := s.b.Look(ctx, j)
		if err != nil {
			return st, err
		}
		o := s.order(ctx, j, st, out)
		if o == nil {
			return st, nil
		}
		select {
		case <-o.done:
		case <-ctx.Done():
			return State{}, fmt.Errorf("build %s: %w", j.Name, context.Cause(ctx))
		}
		if o.digest == st.Digest && !errors.Is(o.err, ErrNewer) {
			return o.state, o.err
		}
	}
}

// order returns the build to wait for: that of st, which is begun if need be, or an older one that was just given up. Nil: there is none to wait for.
func (s *Shop) order(ctx context.Context, j Job, st State, out io.Writer) *order {
	key := filepath.Clean(j.output())
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.orders[key]
	switch {
	case last != nil && !last.over():
		if last.digest != st.Digest {
			last.cancel(ErrNewer)
		}
		return last
	case st.Due == "":
		return nil
	}
	o := &order{digest: st.Digest, done: make(chan struct{})}
	if last != nil && last.err != nil && last.digest == st.Digest && !errors.Is(last.err, ErrNewer) {
		if time.Since(last.ended) < retryAfter(last.failures) {
			return last
		}
		o.failures = last.failures + 1
	}
	ctx, o.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	if s.closed {
		o.cancel(errClosed)
	}
	s.orders[key] = o
	go func() {
		o.state, o.err = s.b.Build(ctx, j, false, out)
		o.ended = time.Now()
		o.cancel(nil)
		close(o.done)
	}()
	return o
}

func (o *order) over() bool {
	select {
	case <-o.done:
		return true
	default:
		return false
	}
}

func retryAfter(failures int) time.Duration {
	return min(retryFirst<<min(failures, 10), retryMost)
}

// Close gives up what is being built, and returns when nothing of it lives.
func (s *Shop) Close() {
	s.mu.Lock()
	s.closed = true
	var running []*order
	for _, o := range s.orders {
		o.cancel(errClosed)
		running = append(running, o)
	}
	s.mu.Unlock()
	for _, o := range running {
		<-o.done
	}
}

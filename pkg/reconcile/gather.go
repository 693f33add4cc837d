package reconcile

import (
	"context"
	"sync/atomic"
	"time"
)

// gathering has many who do the same steps side by side go on to the next one together: pauses share a flush of the disk, and stops are all asked for before the first one is
// cleaned up after.
type gathering struct {
	left atomic.Int64
	all  chan struct{}
}

// gathered is the longest that anybody waits for the others: it is a matter of speed only.
const gathered = 50 * time.Millisecond

// gather returns a gathering of n, each of whom arrives once.
func gather(n int) *gathering {
	g := &gathering{all: make(chan struct{})}
	g.left.Store(int64(n))
	return g
}

func (g *gathering) arrive() {
	if g.left.Add(-1) == 0 {
		close(g.all)
	}
}

// wait returns when all have arrived, after a while, or when ctx ends.
func (g *gathering) wait(ctx context.Context) {
	select {
	case <-g.all:
		return
	default:
	}
	up := time.NewTimer(gathered)
	defer up.Stop()
	select {
	case <-g.all:
	case <-up.C:
	case <-ctx.Done():
	}
}

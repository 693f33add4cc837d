package link

import (
	"net"
	"sync/atomic"
	"time"
)

// wire is a connection that remembers when it last heard of the far side, and whether it broke.
type wire struct {
	net.Conn
	last   atomic.Pointer[time.Time] // nil: nothing was ever heard
	broken atomic.Bool
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if n > 0 {
		now := time.Now()
		w.last.Store(&now)
	}
	if err != nil {
		w.broken.Store(true)
	}
	return n, err
}

func (w *wire) heard() bool { return w.last.Load() != nil }

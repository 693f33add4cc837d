package link

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// maxOpening is how much of what a host says first is kept.
const maxOpening = 200

// wire is a connection that remembers when it last heard of the far side, whether it broke, and what it heard first.
type wire struct {
	net.Conn
	last   atomic.Pointer[time.Time] // nil: nothing was ever heard
	broken atomic.Bool

	mu      sync.Mutex
	opening []byte
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if n > 0 {
		if len(w.opening) < maxOpening { // only this method changes it, and one goroutine at a time reads a connection
			w.mu.Lock()
			w.opening = append(w.opening, p[:min(n, maxOpening-len(w.opening))]...)
			w.mu.Unlock()
		}
		now := time.Now()
		w.last.Store(&now)
	}
	if err != nil {
		w.broken.Store(true)
	}
	return n, err
}

// greeted tells whether it heard SSH's greeting, or its beginning.
func (w *wire) greeted() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return bytes.Contains(w.opening, []byte("SSH-"))
}

// preface is what was said in place of SSH's greeting, or before it: sshd says there why it turns somebody away.
func (w *wire) preface() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := bytes.Index(w.opening, []byte("SSH-")); i >= 0 {
		return string(w.opening[:i])
	}
	return string(w.opening)
}

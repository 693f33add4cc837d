package simhost

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// Connect makes a connection to the host within this process, without a network: it is meant as the Connect of link.Options. With it and Options.Unlisted, a test of
// times runs in a bubble of testing/synctest.
func (h *Host) Connect(context.Context, string, string) (net.Conn, error) {
	toHost, fromHost := newHalf(), newHalf()
	h.mu.Lock()
	h.halves = append(h.halves, toHost, fromHost)
	for _, way := range []*half{toHost, fromHost} {
		way.hold(h.silent)
	}
	h.mu.Unlock()
	h.begin(&end{in: toHost, out: fromHost})
	return &end{in: fromHost, out: toHost}, nil
}

// Silence holds back whatever is sent on connections of Connect, either way, while both ends think that they are connected; with false all of it is delivered.
func (h *Host) Silence(on bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.silent = on
	for _, way := range h.halves {
		way.hold(on)
	}
}

// maxOnTheWay is how many bytes a half holds before whoever writes has to wait, as those of a network are bounded.
const maxOnTheWay = 1 << 20

// half is one direction of a connection.
type half struct {
	mu     sync.Mutex
	change *sync.Cond
	bytes  []byte
	held   bool
	closed bool
}

func newHalf() *half {
	h := &half{}
	h.change = sync.NewCond(&h.mu)
	return h
}

func (h *half) hold(on bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held = on
	h.change.Broadcast()
}

func (h *half) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	h.change.Broadcast()
}

func (h *half) read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for !h.closed && (h.held || len(h.bytes) == 0) {
		h.change.Wait()
	}
	if h.held || len(h.bytes) == 0 {
		return 0, io.EOF
	}
	n := copy(p, h.bytes)
	h.bytes = h.bytes[n:]
	h.change.Broadcast()
	return n, nil
}

func (h *half) write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for !h.closed && len(h.bytes) >= maxOnTheWay {
		h.change.Wait()
	}
	if h.closed {
		return 0, io.ErrClosedPipe
	}
	h.bytes = append(h.bytes, p...)
	h.change.Broadcast()
	return len(p), nil
}

// end is one end of a connection.
type end struct{ in, out *half }

func (e *end) Read(p []byte) (int, error)  { return e.in.read(p) }
func (e *end) Write(p []byte) (int, error) { return e.out.write(p) }

// Close ends both directions, for both ends.
func (e *end) Close() error {
	e.in.close()
	e.out.close()
	return nil
}

func (e *end) LocalAddr() net.Addr                { return memory{} }
func (e *end) RemoteAddr() net.Addr               { return memory{} }
func (e *end) SetDeadline(time.Time) error        { return errors.ErrUnsupported }
func (e *end) SetReadDeadline(t time.Time) error  { return e.SetDeadline(t) }
func (e *end) SetWriteDeadline(t time.Time) error { return e.SetDeadline(t) }

// memory is the address of both ends.
type memory struct{}

func (memory) Network() string { return "memory" }
func (memory) String() string  { return "127.0.0.1:22" }

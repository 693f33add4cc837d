package remote

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// roomToGive is how many bytes of what a call takes the agent keeps where it can't use them at once. How many are under way on the link is bounded for all calls together.
const roomToGive = 2 << 20

// firstRoom is what of it a call may be given before it reads: it may have to wait for another one that brings the same, and will then take nothing.
const firstRoom = 2 * maxPart

// give makes a call that takes what r reads, as far as the agent has room for it, and returns its result. A call may end before it has taken everything: the rest isn't read then. An error of
// r ends the call, and is returned.
func (c *conn) give(ctx context.Context, method string, params any, r io.Reader) error {
	id, w, err := c.ask(ctx, method, params)
	if err != nil {
		return err
	}
	defer c.forget(id)
	buf, room := make([]byte, maxPart), firstRoom
	for {
		end, more := w.taken()
		if room += more; end != nil {
			return end.err()
		}
		if r != nil && room > 0 {
			n, err := c.giveOne(ctx, id, r, buf[:min(len(buf), room)])
			room -= n
			switch {
			case errors.Is(err, io.EOF):
				r = nil
			case err != nil:
				c.cancel(id)
				return err
			}
			continue
		}
		select {
		case <-w.news:
		case <-ctx.Done():
			c.cancel(id)
			return ctx.Err()
		case <-c.done:
			return c.err
		}
	}
}

// giveOne sends one part, an empty one at the end of r, for which it returns io.EOF.
func (c *conn) giveOne(ctx context.Context, id uint32, r io.Reader, buf []byte) (n int, err error) {
	n, err = r.Read(buf)
	if n > 0 {
		if err := c.sendPart(ctx, frame{kind: frameGive, id: id, body: buf[:n]}); err != nil {
			return n, err
		}
	}
	if errors.Is(err, io.EOF) {
		if err := c.send(ctx, frame{kind: frameGive, id: id}); err != nil {
			return n, err
		}
	}
	return n, err
}

// taken returns the result of a call, where that has arrived, and how much more room the agent has made since it was asked last.
func (w *call) taken() (end *response, more int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	more, w.room = w.room, 0
	return w.end, more
}

// err is what a result without a value says.
func (r *response) err() error {
	if r.Error != nil {
		return r.Error.unpack()
	}
	return nil
}

// inbox is what a call under way was given and hasn't read yet. It is an io.Reader for one goroutine.
type inbox struct {
	done func() <-chan struct{} // of the call
	why  func() error
	room func(n int) error // tells the controller of more room

	mu    sync.Mutex
	parts [][]byte
	size  int // of parts
	ended bool
	news  chan struct{} // holds a token while there is something new

	owed int // room that there is, and the controller doesn't know it yet
}

// put takes a part; an empty one is the end.
func (b *inbox) put(part []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.size += len(part); b.size > roomToGive || b.ended {
		return fmt.Errorf("take what a call is given: more than there is room for: %w", errFrame)
	}
	if len(part) == 0 {
		b.ended = true
	} else {
		b.parts = append(b.parts, part)
	}
	signal(b.news)
	return nil
}

func (b *inbox) Read(p []byte) (int, error) {
	for {
		n, ended := b.take(p)
		if b.owed += n; b.owed >= roomToGive/4 && !ended {
			if err := b.room(b.owed); err != nil {
				return n, err
			}
			b.owed = 0
		}
		switch {
		case n > 0:
			return n, nil
		case ended:
			return 0, io.EOF
		}
		select {
		case <-b.news:
		case <-b.done():
			return 0, b.why()
		}
	}
}

func (b *inbox) take(p []byte) (n int, ended bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.parts) == 0 {
		return 0, b.ended
	}
	n = copy(p, b.parts[0])
	if b.parts[0] = b.parts[0][n:]; len(b.parts[0]) == 0 {
		b.parts = b.parts[1:]
	}
	b.size -= n
	return n, false
}

// taking makes a handler of a function that takes what the controller gives. It ends with the link.
func taking[P any](f func(ctx context.Context, s *server, p P, r io.Reader) error) handler {
	return handler{takes: true, do: func(ctx context.Context, s *server, params json.RawMessage, w *served, id uint32) (any, error) {
		var p P
		if err := unmarshal(params, &p); err != nil {
			return nil, err
		}
		b := w.inbox
		b.owed = roomToGive - firstRoom
		b.done, b.why = ctx.Done, func() error { return context.Cause(ctx) }
		b.room = func(n int) error {
			return s.send(frame{kind: frameRoom, id: id, body: binary.BigEndian.AppendUint32(nil, uint32(n))})
		}
		return nil, f(ctx, s, p, b)
	}}
}

// given hands a part to the call that takes it. One that comes for a call that has ended is let go of.
func (s *server) given(f frame) error {
	s.mu.Lock()
	w := s.calls[f.id]
	s.mu.Unlock()
	switch {
	case w != nil && w.inbox == nil:
		return fmt.Errorf("read from the controller: a part for a call that takes none: %w", errFrame)
	case w != nil:
		if err := w.inbox.put(f.body); err != nil {
			return err
		}
	}
	if len(f.body) == 0 {
		return nil
	}
	return s.send(frame{kind: frameCredit})
}

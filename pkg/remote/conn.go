package remote

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
)

// conn is the controller's side of a link: it makes calls and waits for their answers.
type conn struct {
	name   string
	stream io.ReadWriteCloser
	ping   time.Duration
	out    chan []byte
	room   chan struct{} // holds a token for each piece that may be sent

	mu    sync.Mutex
	calls map[uint32]*call
	last  uint32
	heard time.Time

	done chan struct{}
	end  sync.Once
	err  error // why done was closed
}

// call is one that waits for its answer. Its fields are guarded by mu.
type call struct {
	mu    sync.Mutex
	parts [][]byte
	size  int    // of parts and pieces that were not given credit for
	body  []byte // of the result, as far as it has come
	room  int    // more bytes that the agent takes of what the call gives
	end   *response
	news  chan struct{} // holds a token while there is something new
}

// errClosed says that the link was closed from this side.
var errClosed = errors.New("the link was closed")

func newConn(name string, stream io.ReadWriteCloser, ping time.Duration) *conn {
	c := &conn{
		name: name, stream: stream, ping: ping, out: make(chan []byte, 4), room: make(chan struct{}, window/maxPart), calls: map[uint32]*call{},
		done: make(chan struct{}), heard: time.Now(),
	}
	for range cap(c.room) {
		c.room <- struct{}{}
	}
	return c
}

// start lets frames come and go.
func (c *conn) start(r *bufio.Reader) {
	go c.read(r)
	go c.write()
	go c.keepAlive()
}

// fail ends the link for that reason. The first reason stays.
func (c *conn) fail(why error) {
	c.end.Do(func() {
		switch {
		case errors.Is(why, errClosed):
		case errors.Is(why, drivers.ErrUnreachable):
			why = fmt.Errorf("the link to host %s is lost: %w", c.name, why)
		default:
			why = fmt.Errorf("the link to host %s is lost: %w: %w", c.name, why, drivers.ErrUnreachable)
		}
		c.err = why
		close(c.done)
		_ = c.stream.Close() // nobody is left to tell
	})
}

func (c *conn) read(r *bufio.Reader) {
	for {
		f, err := readFrame(r)
		if errors.Is(err, io.EOF) {
			err = errors.New("the agent ended")
		}
		if err == nil {
			c.mu.Lock()
			c.heard = time.Now()
			waiting := c.calls[f.id]
			c.mu.Unlock()
			if f.kind == frameCredit {
				signal(c.room)
			} else {
				err = waiting.take(f)
			}
		}
		if err != nil {
			c.fail(err)
			return
		}
	}
}

// take hands a frame to the call that waits for it; nil for one that nobody waits for any more.
func (w *call) take(f frame) error {
	switch f.kind {
	case framePong:
		return nil
	case frameData, frameMore, frameResult, frameRoom:
	default:
		return fmt.Errorf("the agent sent a frame of kind %d, which only a controller sends", f.kind)
	}
	if w == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if f.kind == frameData || f.kind == frameMore {
		w.size += len(f.body)
		if len(f.body) == 0 || w.size > window || len(w.body)+len(f.body) > maxBody {
			return fmt.Errorf("the agent sent %d bytes, where it may send %d before it is asked for more, and %d in a result", w.size, window, maxBody)
		}
	}
	switch f.kind {
	case frameRoom:
		if len(f.body) != 4 {
			return fmt.Errorf("the agent has room for a number of %d bytes", len(f.body))
		}
		w.room = min(w.room+int(binary.BigEndian.Uint32(f.body)), roomToGive)
	case frameData:
		w.parts = append(w.parts, f.body)
	case frameMore:
		w.body = append(w.body, f.body...)
	default:
		w.end = &response{}
		if err := json.Unmarshal(append(w.body, f.body...), w.end); err != nil {
			return fmt.Errorf("read a result of the agent: %w", err)
		}
		w.body = nil
	}
	select {
	case w.news <- struct{}{}:
	default:
	}
	return nil
}

func (c *conn) write() {
	for {
		select {
		case b := <-c.out:
			if _, err := c.stream.Write(b); err != nil {
				c.fail(err)
				return
			}
		case <-c.done:
			return
		}
	}
}

// send queues a frame; it waits where the far side takes none.
func (c *conn) send(ctx context.Context, f frame) error {
	select {
	case c.out <- f.encode():
		return nil
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// post queues a frame that nobody waits for.
func (c *conn) post(f frame) {
	select {
	case c.out <- f.encode():
	case <-c.done:
	}
}

// silences is after how many intervals without a sign of life a link is given up.
const silences = 3

// keepAlive asks for a sign of life where there was none for an interval, and gives the link up after three.
func (c *conn) keepAlive() {
	tick := time.NewTicker(c.ping)
	defer tick.Stop()
	for {
		select {
		case <-c.done:
			return
		case <-tick.C:
		}
		c.mu.Lock()
		silence := time.Since(c.heard)
		c.mu.Unlock()
		if silence >= (silences-1)*c.ping+c.ping/2 {
			c.fail(fmt.Errorf("no sign of life for %s", silence.Round(time.Millisecond)))
			return
		}
		select {
		case c.out <- frame{kind: framePing}.encode():
		default: // so much is under way already that it needs no ping
		}
	}
}

// do makes a call and decodes its result into result, where that isn't nil. part is called with each part of the answer, in order, where there are any; an error of part ends the
// call, and is returned.
func (c *conn) do(ctx context.Context, method string, params, result any, part func([]byte) error) error {
	id, w, err := c.ask(ctx, method, params)
	if err != nil {
		return err
	}
	defer c.forget(id)
	for {
		end, err := c.parts(ctx, id, w, part)
		switch {
		case err != nil:
			c.cancel(id)
			return err
		case end != nil && end.Error != nil:
			return end.Error.unpack()
		case end != nil && result != nil:
			if err := json.Unmarshal(end.Result, result); err != nil {
				return fmt.Errorf("read what the agent of host %s says to %s: %w", c.name, method, err)
			}
			return nil
		case end != nil:
			return nil
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

// forget ends what is known of a call.
func (c *conn) forget(id uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.calls, id)
}

// ask sends a call, which is known until forget.
func (c *conn) ask(ctx context.Context, method string, params any) (uint32, *call, error) {
	if err := ctx.Err(); err != nil {
		return 0, nil, err
	}
	req := request{Method: method}
	if params != nil {
		p, err := json.Marshal(params)
		if err != nil {
			return 0, nil, fmt.Errorf("ask host %s: %s: %w", c.name, method, err)
		}
		req.Params = p
	}
	body, err := json.Marshal(req)
	if err != nil {
		return 0, nil, fmt.Errorf("ask host %s: %s: %w", c.name, method, err)
	}
	if len(body) > maxBody {
		return 0, nil, fmt.Errorf("ask host %s: %s: this is %d bytes, and %d are the most: %w", c.name, method, len(body), maxBody, drivers.ErrPermanent)
	}
	w := &call{news: make(chan struct{}, 1)}
	c.mu.Lock()
	c.last++
	id := c.last
	c.calls[id] = w
	c.mu.Unlock()
	if body, err = c.pieces(ctx, id, body); err == nil {
		err = c.send(ctx, frame{kind: frameCall, id: id, body: body})
	}
	if err != nil {
		c.forget(id)
		c.cancel(id)
		return 0, nil, err
	}
	return id, w, nil
}

// pieces sends the body of a call but for the rest that fits into its frame, as fast as the agent takes it, and returns the rest.
func (c *conn) pieces(ctx context.Context, id uint32, body []byte) (rest []byte, err error) {
	for ; len(body) > maxPart; body = body[maxPart:] {
		if err := c.sendPart(ctx, frame{kind: frameMore, id: id, body: body[:maxPart]}); err != nil {
			return nil, err
		}
	}
	return body, nil
}

// sendPart sends a frame that takes up room of the agent's, once there is some.
func (c *conn) sendPart(ctx context.Context, f frame) error {
	select {
	case <-c.room:
		return c.send(ctx, f)
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// parts hands on what has arrived, gives credit for it, and returns the end where that has arrived too.
func (c *conn) parts(ctx context.Context, id uint32, w *call, part func([]byte) error) (*response, error) {
	w.mu.Lock()
	parts, size, end := w.parts, w.size, w.end
	w.parts = nil
	w.mu.Unlock()
	for _, p := range parts {
		if part == nil {
			return nil, fmt.Errorf("ask host %s: the agent sent more than an answer", c.name)
		}
		if err := part(p); err != nil {
			return nil, err
		}
	}
	if size == 0 || end != nil {
		return end, nil
	}
	w.mu.Lock()
	w.size -= size
	w.mu.Unlock()
	return nil, c.send(ctx, frame{kind: frameCredit, id: id, body: binary.BigEndian.AppendUint32(nil, uint32(size))})
}

// cancel says that nobody waits for an answer any more.
func (c *conn) cancel(id uint32) {
	b := frame{kind: frameCancel, id: id}.encode()
	select {
	case c.out <- b:
	default:
		go func() {
			select {
			case c.out <- b:
			case <-c.done:
			}
		}()
	}
}

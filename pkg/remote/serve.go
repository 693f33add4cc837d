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
	"sync/atomic"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// Local is the machine that an agent answers for.
type Local struct {
	// Host is the machine; one that has a method Called is told there how the controller calls it. Where it is nil, Err says why it couldn't be opened, and the controller is told.
	Host drivers.Host
	Err  error
	// Facts are told to the controller.
	Facts Facts
	// Calls are what can be asked beside what a Host is, by name: see Host.Call.
	Calls map[string]func(ctx context.Context, params json.RawMessage) (any, error)
}

// callPrefix sets Local.Calls apart from the calls of this package.
const callPrefix = "x-"

// Serve greets the controller and answers until it ends the stream, or gives no sign of life for as long as it said it would; both are a nil error. Then looks and streams are given
// up, the steps in hand are finished, and the machine is closed: what locks the controller held are free. ctx's end does the same at once. in must end
// when nobody is at its other end any more.
func Serve(ctx context.Context, in io.Reader, out io.Writer, l Local) error {
	if l.Host == nil {
		return writeGreeting(out, greeting{Protocol: Protocol, Facts: l.Facts, Error: pack(l.Err)})
	}
	defer func() { _ = l.Host.Close() }()
	if err := writeGreeting(out, greetingOf(l)); err != nil {
		return fmt.Errorf("greet the controller: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &server{Local: l, began: time.Now(), out: out, handlers: handlers(), calls: map[uint32]*served{}, locks: map[int]func(){}, bodies: map[uint32][]byte{}, silence: make(chan time.Duration, 1), heard: make(chan struct{}, 1)}
	ended := make(chan error, 1)
	go func() { ended <- s.read(ctx, bufio.NewReaderSize(in, 32<<10)) }()
	err := s.wait(ctx, ended)
	cancel()
	s.finish()
	return err
}

func greetingOf(l Local) greeting {
	g := greeting{Protocol: Protocol, Facts: l.Facts, Unavailable: l.Host.Unavailable(), Fallback: map[spec.DriverKind][]*drivers.Unavailable{}}
	if best, err := l.Host.Driver(spec.DriverAuto); err == nil {
		g.Best = best.Kind()
	}
	for _, d := range l.Host.Drivers() {
		p, ok := drivers.Find[drivers.Patient](d)
		g.Drivers = append(g.Drivers, driverFacts{Kind: d.Kind(), Patient: ok && p.StartsWait()})
		if f := l.Host.Fallback(d.Kind()); len(f) > 0 {
			g.Fallback[d.Kind()] = f
		}
	}
	return g
}

// server answers one controller.
type server struct {
	Local
	began    time.Time
	out      io.Writer
	handlers map[string]handler
	// steps are those in hand.
	steps sync.WaitGroup

	writing sync.Mutex

	mu    sync.Mutex
	over  bool // no further step is begun
	calls map[uint32]*served
	locks map[int]func()
	taken int

	// begun and ended count steps.
	begun, ended atomic.Int64

	// bodies are those of calls of which pieces have come, and pieces is what they are together. They belong to read.
	bodies map[uint32][]byte
	pieces int

	silence chan time.Duration
	heard   chan struct{}
}

// served is a call under way.
type served struct {
	cancel context.CancelFunc
	credit int
	more   chan struct{} // holds a token when credit has grown
	inbox  *inbox        // of a call that takes something; nil for the others
}

// wait waits for the end of the link: of the stream, of ctx, or of the patience that the controller asked for.
func (s *server) wait(ctx context.Context, ended <-chan error) error {
	patience := time.Minute
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			return nil
		case patience = <-s.silence:
		case <-s.heard:
		}
		timer.Reset(patience)
	}
}

func (s *server) read(ctx context.Context, r *bufio.Reader) error {
	for {
		f, err := readFrame(r)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read from the controller: %w", err)
		}
		select {
		case s.heard <- struct{}{}:
		default:
		}
		if err := s.frame(ctx, f); err != nil {
			return err
		}
	}
}

// frame takes one frame of the controller. ctx is the life of the link.
func (s *server) frame(ctx context.Context, f frame) error {
	switch f.kind {
	case frameHello:
		var h hello
		if err := json.Unmarshal(f.body, &h); err != nil || h.Protocol != Protocol {
			return fmt.Errorf("greet the controller: it speaks protocol %d, and this agent %d: %w", h.Protocol, Protocol, drivers.ErrUnsupported)
		}
		if called, ok := s.Host.(interface{ Called(name string) }); ok && h.Host != "" {
			called.Called(h.Host)
		}
		if d := time.Duration(h.Silence) * time.Millisecond; d > 0 {
			s.silence <- d
		}
	case framePing:
		return s.send(frame{kind: framePong})
	case frameMore:
		if s.pieces += len(f.body); s.pieces > maxPieces {
			return fmt.Errorf("read from the controller: %d bytes of calls that don't come to an end: %w", s.pieces, errFrame)
		}
		s.bodies[f.id] = append(s.bodies[f.id], f.body...)
		return s.send(frame{kind: frameCredit})
	case frameCancel:
		s.body(f.id)
		s.mu.Lock()
		defer s.mu.Unlock()
		if w := s.calls[f.id]; w != nil {
			w.cancel()
		}
	case frameCredit:
		if len(f.body) == 4 {
			s.mu.Lock()
			defer s.mu.Unlock()
			if w := s.calls[f.id]; w != nil {
				w.credit += int(binary.BigEndian.Uint32(f.body))
				signal(w.more)
			}
		}
	case frameGive:
		return s.given(f)
	case frameCall:
		var req request
		if err := json.Unmarshal(append(s.body(f.id), f.body...), &req); err != nil {
			return fmt.Errorf("read a call of the controller: %w", err)
		}
		s.call(ctx, f.id, req)
	default:
		return fmt.Errorf("read from the controller: a frame of kind %d: %w", f.kind, errFrame)
	}
	return nil
}

// maxPieces is how much of calls an agent holds that haven't come as a whole.
const maxPieces = 4 * maxBody

// body returns the pieces of a call that have come, and forgets them.
func (s *server) body(id uint32) []byte {
	b := s.bodies[id]
	delete(s.bodies, id)
	s.pieces -= len(b)
	return b
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// call has a call answered. Looks and streams end with base, the life of the link; steps don't. Events are recorded in the order in which they come, and nobody waits for that.
func (s *server) call(base context.Context, id uint32, req request) {
	h, ok := s.handlers[req.Method]
	if extra := s.Calls; !ok && len(req.Method) > len(callPrefix) {
		if f := extra[req.Method[len(callPrefix):]]; f != nil {
			h, ok = handler{do: func(ctx context.Context, _ *server, p json.RawMessage, _ *served, _ uint32) (any, error) {
				return f(ctx, p)
			}}, true
		}
	}
	if req.Method == "record" {
		_, _ = h.do(base, s, req.Params, nil, 0)
		return
	}
	life := base
	if h.changes {
		if !s.begin() {
			return // the controller takes a call that isn't answered for one of which nothing is known
		}
		base = context.WithoutCancel(base)
	}
	ctx, cancel := context.WithCancel(base)
	w := &served{cancel: cancel, credit: window, more: make(chan struct{}, 1)}
	if h.takes {
		w.inbox = &inbox{news: make(chan struct{}, 1)}
	}
	s.mu.Lock()
	s.calls[id] = w
	s.mu.Unlock()
	go func() {
		defer cancel()
		if h.changes {
			defer s.steps.Done()
		}
		var result any
		err := fmt.Errorf("answer %q: this agent doesn't know that call: %w", req.Method, drivers.ErrUnsupported)
		if ok {
			result, err = h.do(ctx, s, req.Params, w, id)
		}
		if !h.changes {
			life = ctx // nobody waits for an answer after a cancel, but for that of a step
		}
		s.answer(life, w, id, result, err)
		s.mu.Lock()
		delete(s.calls, id)
		s.mu.Unlock()
	}()
}

// begin counts a step as one in hand, unless the agent is about to end.
func (s *server) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.steps.Add(1)
	}
	return !s.over
}

// finish waits for the steps in hand and lets none begin any more.
func (s *server) finish() {
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	s.steps.Wait()
}

// answer sends a result. One that can't be sent has nobody to be told to: the stream's end is noticed by who reads it.
func (s *server) answer(ctx context.Context, w *served, id uint32, result any, err error) {
	r := response{Error: pack(err)}
	if err == nil && result != nil {
		if r.Result, err = json.Marshal(result); err != nil {
			r.Error = pack(err)
		}
	}
	body, err := json.Marshal(r)
	if len(body) > maxBody {
		body, err = json.Marshal(response{Error: pack(fmt.Errorf("answer: this is %d bytes, and %d are the most; ask for less at once: %w", len(body), maxBody, drivers.ErrPermanent))})
	}
	if last := max(0, len(body)-maxPart); err == nil && last > 0 {
		err = s.pass(ctx, w, frame{kind: frameMore, id: id, body: body[:last]})
		body = body[last:]
	}
	if err == nil {
		_ = s.send(frame{kind: frameResult, id: id, body: body})
	}
}

func (s *server) send(f frame) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if _, err := s.out.Write(f.encode()); err != nil {
		return fmt.Errorf("write to the controller: %w", err)
	}
	return nil
}

// part sends a part of an answer, as soon as the controller has room for it.
func (s *server) part(ctx context.Context, w *served, id uint32, b []byte) error {
	return s.pass(ctx, w, frame{kind: frameData, id: id, body: b})
}

// pass sends a frame in as many as it takes, as soon as the controller has room for them.
func (s *server) pass(ctx context.Context, w *served, f frame) error {
	for b := f.body; len(b) > 0; {
		s.mu.Lock()
		n := min(len(b), maxPart, w.credit)
		w.credit -= n
		s.mu.Unlock()
		if n > 0 {
			if err := s.send(frame{kind: f.kind, id: f.id, body: b[:n]}); err != nil {
				return err
			}
			b = b[n:]
			continue
		}
		select {
		case <-w.more:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

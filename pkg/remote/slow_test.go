package remote

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

// A long link: 1 MB a second, 200 ms each way, and 2 MB of buffers in front of it, as an SSH channel has.
const (
	bandwidth = 1 << 20
	delay     = 200 * time.Millisecond
	buffers   = 2 << 20
)

// way is one direction of a long link.
type way struct {
	mu     sync.Mutex
	change *sync.Cond
	free   time.Time // when the line will have sent all that was given to it
	last   []packet
	closed bool
}

type packet struct {
	at    time.Time
	bytes []byte
}

func newWay() *way {
	w := &way{}
	w.change = sync.NewCond(&w.mu)
	return w
}

func lineTime(n int) time.Duration { return time.Duration(n) * time.Second / bandwidth }

func (w *way) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if w.free.Before(now) {
		w.free = now
	}
	for full := w.free.Sub(now) - lineTime(buffers); full > 0 && !w.closed; full = 0 {
		w.mu.Unlock()
		time.Sleep(full)
		w.mu.Lock()
	}
	if w.closed {
		return 0, io.ErrClosedPipe
	}
	w.free = w.free.Add(lineTime(len(b)))
	w.last = append(w.last, packet{w.free.Add(delay), bytes.Clone(b)})
	w.change.Broadcast()
	return len(b), nil
}

func (w *way) Read(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		switch {
		case w.closed:
			return 0, io.EOF
		case len(w.last) == 0:
			w.change.Wait()
			continue
		case time.Now().Before(w.last[0].at):
			d := time.Until(w.last[0].at)
			w.mu.Unlock()
			time.Sleep(d)
			w.mu.Lock()
			continue
		}
		n := copy(b, w.last[0].bytes)
		if w.last[0].bytes = w.last[0].bytes[n:]; len(w.last[0].bytes) == 0 {
			w.last = w.last[1:]
		}
		return n, nil
	}
}

func (w *way) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.change.Broadcast()
	return nil
}

// longEnd is one end of a long link.
type longEnd struct{ in, out *way }

func (e *longEnd) Read(b []byte) (int, error)  { return e.in.Read(b) }
func (e *longEnd) Write(b []byte) (int, error) { return e.out.Write(b) }
func (e *longEnd) Close() error                { return errors.Join(e.in.Close(), e.out.Close()) }

// talker is a machine with a log.
type talker struct {
	drivers.Host
	log io.Reader
}

func (h *talker) Logs(_ context.Context, _ string, w io.Writer, _ drivers.LogOptions) error {
	_, err := io.Copy(w, h.log)
	return err
}

// farAway connects to a machine over a long link, with a sign of life wanted every second.
func farAway(t *testing.T, l Local) *agent {
	t.Helper()
	there, back := newWay(), newWay()
	ours, theirs := &longEnd{back, there}, &longEnd{there, back}
	a := &agent{ended: make(chan error, 1)}
	go func() {
		a.ended <- Serve(context.Background(), theirs, theirs, l)
		theirs.Close()
	}()
	h, err := Connect(t.Context(), ours, ConnectOptions{Name: "far", Ping: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	a.Host = h
	return a
}

func (a *agent) leave(t *testing.T) {
	t.Helper()
	a.Close()
	if err := <-a.ended; err != nil {
		t.Error(err)
	}
	time.Sleep(2 * delay) // what is under way comes to an end
}

// TestLargeTransfersOverALongLink: whichever way they go, they take what the line takes, the link is kept, and what else is asked meanwhile is answered.
func TestLargeTransfersOverALongLink(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 4<<20/16)
	digest := driverstest.ContentDigest(content)
	for name, transfer := range map[string]func(ctx context.Context, far *agent, near drivers.Host) error{
		"there": func(ctx context.Context, far *agent, _ drivers.Host) error { return far.Put(ctx, digest, content) },
		"back": func(ctx context.Context, far *agent, _ drivers.Host) error {
			_, err := far.Get(ctx, digest)
			return err
		},
		"as a log": func(ctx context.Context, far *agent, _ drivers.Host) error {
			return far.Logs(ctx, "web", io.Discard, drivers.LogOptions{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near := driverstest.NewHost()
				if name == "back" {
					if err := near.Put(t.Context(), digest, content); err != nil {
						t.Fatal(err)
					}
				}
				far := farAway(t, Local{Host: &talker{near, bytes.NewReader(content)}})
				defer far.leave(t)
				began, done := time.Now(), make(chan error, 1)
				go func() { done <- transfer(t.Context(), far, near) }()
				for {
					select {
					case err := <-done:
						if took := time.Since(began); err != nil || took > 8*time.Second {
							t.Errorf("it took %s: %v", took, err)
						}
						return
					case <-time.After(500 * time.Millisecond):
					}
					asked := time.Now()
					if _, err := far.Drivers()[0].Observe(t.Context(), "web"); err != nil {
						t.Fatal(err)
					}
					if took := time.Since(asked); took > 2*time.Second {
						t.Errorf("a look meanwhile took %s", took)
					}
				}
			})
		})
	}
}

// TestACallThatIsGivenUpLeavesNothing: what has come of it is forgotten, and there is an end to what an agent holds.
func TestACallThatIsGivenUpLeavesNothing(t *testing.T) {
	s := &server{out: io.Discard, bodies: map[uint32][]byte{}}
	more := func(id uint32) error {
		return s.frame(t.Context(), frame{kind: frameMore, id: id, body: make([]byte, maxPart)})
	}
	for id := range uint32(3) {
		if err := errors.Join(more(id), more(id)); err != nil {
			t.Fatal(err)
		}
	}
	if s.pieces != 6*maxPart || len(s.bodies) != 3 {
		t.Errorf("%d bytes of %d calls", s.pieces, len(s.bodies))
	}
	for id := range uint32(3) {
		if err := s.frame(t.Context(), frame{kind: frameCancel, id: id}); err != nil {
			t.Fatal(err)
		}
	}
	if s.pieces != 0 || len(s.bodies) != 0 {
		t.Errorf("%d bytes of %d calls are left", s.pieces, len(s.bodies))
	}
	var err error
	for id := uint32(0); err == nil && id <= maxPieces/maxPart; id++ {
		err = more(id)
	}
	if !errors.Is(err, errFrame) {
		t.Errorf("a flood of calls without an end: %v", err)
	}
}

// TestALogIsFollowedOverALongLink: a line is there as soon as the link carries it.
func TestALogIsFollowedOverALongLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		far := farAway(t, Local{Host: &talker{driverstest.NewHost(), r}})
		defer far.leave(t)
		seen := make(chan time.Time, 1)
		followed := make(chan error, 1)
		go func() {
			followed <- far.Logs(t.Context(), "web", writer(func([]byte) error { seen <- time.Now(); return nil }), drivers.LogOptions{Follow: true})
		}()
		for range 100 {
			time.Sleep(10 * time.Second)
			said := time.Now()
			if _, err := io.WriteString(w, "a line\n"); err != nil {
				t.Fatal(err)
			}
			if late := (<-seen).Sub(said); late > delay+delay/10 {
				t.Fatalf("a line came %s late", late)
			}
		}
		w.Close()
		if err := <-followed; err != nil {
			t.Error(err)
		}
	})
}

// TestALongMessageIsCut: an event is no reason to lose the link.
func TestALongMessageIsCut(t *testing.T) {
	near := driverstest.NewHost()
	far := connect(t, Local{Host: near})
	far.Record(spec.Event{Name: "web", Reason: "Said", Message: string(bytes.Repeat([]byte{1}, 1<<20))})
	n := 0
	if err := far.Events(t.Context(), time.Time{}, false, func(e spec.Event) bool { n += len(e.Message); return true }); err != nil || n == 0 || n > 2*maxMessage {
		t.Errorf("%d bytes of a message, %v", n, err)
	}
}

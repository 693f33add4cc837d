package remote

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

// programOf is a program of n bytes, and counts what is read of it.
func programOf(n int, read *atomic.Int64) *spec.Program {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return &spec.Program{Digest: driverstest.ContentDigest(b), Size: int64(n), Open: func() (io.ReadSeekCloser, error) {
		return &opened{Reader: bytes.NewReader(b), read: read}, nil
	}}
}

type opened struct {
	*bytes.Reader
	read *atomic.Int64
	stop int64 // where to fail; 0: nowhere
	how  func()
}

func (o *opened) Close() error { return nil }

func (o *opened) Read(p []byte) (int, error) {
	if o.stop > 0 && o.read.Load() >= o.stop {
		o.how()
	}
	n, err := o.Reader.Read(p)
	o.read.Add(int64(n))
	return n, err
}

func TestAProgramIsSentOnce(t *testing.T) {
	for _, size := range []int{0, 1, maxPart, roomToGive, roomToGive + 1, 3*roomToGive + 12345} {
		near, read := driverstest.NewHost(), new(atomic.Int64)
		p := programOf(size, read)
		for range 3 {
			far := connect(t, Local{Host: near.Reopen()})
			if err := drivers.SendProgram(t.Context(), far, p); err != nil {
				t.Fatalf("%d bytes: %v", size, err)
			}
			if err := far.Store(t.Context(), p.Digest, p.Size, 0, bytes.NewReader(nil)); err != nil {
				t.Errorf("to store what is there: %v", err)
			}
		}
		if _, whole, err := near.Stored(t.Context(), p.Digest); !whole || err != nil || read.Load() != int64(size) {
			t.Errorf("%d bytes: whole %v, %v, and %d were read", size, whole, err, read.Load())
		}
	}
}

// TestATransferGoesOnAfterACut cuts the link at every tenth: the next one brings the rest, and nothing but the rest.
func TestATransferGoesOnAfterACut(t *testing.T) {
	const size = 4_000_003
	for tenth := 1; tenth < 10; tenth++ {
		near, read := driverstest.NewHost(), new(atomic.Int64)
		p := programOf(size, read)
		far := connect(t, Local{Host: near.Reopen()})
		cut := *p
		cut.Open = func() (io.ReadSeekCloser, error) {
			r, err := p.Open()
			o := r.(*opened)
			o.stop, o.how = int64(size*tenth/10), func() { far.c.fail(errors.New("cut")) }
			return o, err
		}
		if err := drivers.SendProgram(t.Context(), far, &cut); !errors.Is(err, drivers.ErrUnreachable) {
			t.Fatalf("cut at %d tenths: %v", tenth, err)
		}
		<-far.ended
		have, whole, err := near.Stored(t.Context(), p.Digest)
		if whole || err != nil || have > int64(size*tenth/10)+maxPart {
			t.Errorf("cut at %d tenths: there are %d bytes, whole %v, %v", tenth, have, whole, err)
		}
		read.Store(0)
		if err := drivers.SendProgram(t.Context(), connect(t, Local{Host: near.Reopen()}), p); err != nil {
			t.Fatal(err)
		}
		if _, whole, _ := near.Stored(t.Context(), p.Digest); !whole || read.Load() != size-have {
			t.Errorf("cut at %d tenths: whole %v, and %d bytes were read after it, want %d", tenth, whole, read.Load(), size-have)
		}
	}
}

// lazy is a host that takes a program's content when it is told to.
type lazy struct {
	drivers.Host
	begun chan struct{}
	read  chan struct{} // closed: read it all, then end
	end   chan error
}

func (l *lazy) Store(ctx context.Context, _ string, _, _ int64, r io.Reader) error {
	close(l.begun)
	select {
	case <-l.read:
		_, err := io.Copy(io.Discard, r)
		return err
	case err := <-l.end:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func newLazy() *lazy {
	return &lazy{driverstest.NewHost(), make(chan struct{}), make(chan struct{}), make(chan error, 1)}
}

// TestNoMoreIsSentThanThereIsRoomFor while the host is busy; and other calls are answered meanwhile.
func TestNoMoreIsSentThanThereIsRoomFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, read := newLazy(), new(atomic.Int64)
		far := connect(t, Local{Host: l})
		sent := make(chan error)
		go func() { sent <- drivers.SendProgram(t.Context(), far, programOf(5*roomToGive, read)) }()
		<-l.begun
		synctest.Wait()
		if read.Load() != firstRoom {
			t.Errorf("%d bytes were read of the program, and there is room for %d", read.Load(), firstRoom)
		}
		if _, err := far.Has(t.Context(), driverstest.ContentDigest(nil)); err != nil {
			t.Errorf("another call: %v", err)
		}
		close(l.read)
		if err := <-sent; err != nil || read.Load() != 5*roomToGive {
			t.Errorf("%v, after %d bytes", err, read.Load())
		}
		far.Close()
		<-far.ended
	})
}

// TestAHostThatHasEnough ends the call, and the rest isn't sent.
func TestAHostThatHasEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, why := range []error{nil, drivers.ErrMoved, drivers.ErrPermanent} {
			l := newLazy()
			far := connect(t, Local{Host: l})
			l.end <- why
			p, _ := programOf(2*roomToGive, new(atomic.Int64)).Open()
			if err := far.Store(t.Context(), "sha256:x", 2*roomToGive, 0, p); !errors.Is(err, why) {
				t.Errorf("got %v, want %v", err, why)
			}
			if _, err := far.Has(t.Context(), driverstest.ContentDigest(nil)); err != nil {
				t.Errorf("the link doesn't live on: %v", err)
			}
			far.Close()
			<-far.ended
		}
	})
}

// TestAContentThatCannotBeRead ends the call on both sides, and not the link.
func TestAContentThatCannotBeRead(t *testing.T) {
	near := driverstest.NewHost()
	far := connect(t, Local{Host: near.Reopen()})
	broken := errors.New("the disk is broken")
	r := io.MultiReader(bytes.NewReader(make([]byte, 1000)), readerFunc(func([]byte) (int, error) { return 0, broken }))
	if err := far.Store(t.Context(), driverstest.ContentDigest(nil), 5000, 0, r); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r = io.MultiReader(bytes.NewReader(make([]byte, 1000)), readerFunc(func(p []byte) (int, error) { cancel(); return len(p), nil }))
	if err := far.Store(ctx, driverstest.ContentDigest([]byte("x")), 5000, 0, r); !errors.Is(err, context.Canceled) {
		t.Errorf("who gives up: %v", err)
	}
	if _, err := far.Has(t.Context(), driverstest.ContentDigest(nil)); err != nil {
		t.Errorf("the link doesn't live on: %v", err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestAControllerThatFloods loses the link: what a call was given and hasn't read is bounded.
func TestAControllerThatFloods(t *testing.T) {
	for name, frames := range map[string][]frame{
		"more than there is room for": {{kind: frameCall, id: 1, body: []byte(`{"method":"store","params":{}}`)}, {kind: frameGive, id: 1, body: make([]byte, maxPart)}},
		"after the end":               {{kind: frameCall, id: 1, body: []byte(`{"method":"store","params":{}}`)}, {kind: frameGive, id: 1}, {kind: frameGive, id: 1, body: []byte("x")}},
		"for a call that takes none":  {{kind: frameCall, id: 1, body: []byte(`{"method":"watch","params":{"driver":"process"}}`)}, {kind: frameGive, id: 1, body: []byte("x")}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLazy()
			kind := l.Drivers()[0].Kind()
			ours, theirs := net.Pipe()
			ended := make(chan error, 1)
			go func() {
				ended <- Serve(context.Background(), theirs, theirs, Local{Host: l})
				theirs.Close()
			}()
			go func() { _, _ = io.Copy(io.Discard, ours) }()
			if last := frames[len(frames)-1]; len(last.body) == maxPart {
				frames = append(frames, slices.Repeat([]frame{last}, roomToGive/maxPart)...)
			}
			for _, f := range frames {
				f.body = bytes.ReplaceAll(f.body, []byte("process"), []byte(kind))
				if _, err := ours.Write(f.encode()); err != nil {
					break
				}
			}
			if err := <-ended; !errors.Is(err, errFrame) {
				t.Errorf("it ended with %v", err)
			}
		})
	}
}

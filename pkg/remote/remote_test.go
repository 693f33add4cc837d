package remote

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/spec"
)

// agent is an agent for a machine in memory, and what it came to.
type agent struct {
	*Host
	ended chan error
}

func connect(t *testing.T, l Local) *agent {
	t.Helper()
	ours, theirs := net.Pipe()
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
	t.Cleanup(func() { h.Close() })
	return a
}

func TestHostSaysWhatTheMachineSays(t *testing.T) {
	near := driverstest.NewHost()
	near.Lacks(&drivers.Unavailable{Kind: spec.DriverSystemd, Reason: "there is none", Remedy: "make one"})
	far := connect(t, Local{Host: near.Reopen(), Facts: Facts{Version: "v1", Hostname: "gpu-1"}})
	ctx := t.Context()
	if far.Name() != "far" || far.Facts().Hostname != "gpu-1" {
		t.Errorf("it is %s, %+v", far.Name(), far.Facts())
	}
	kind := far.Drivers()[0].Kind()
	if diff := cmp.Diff(near.Fallback(kind), far.Fallback(kind)); diff != "" {
		t.Error(diff)
	}
	if _, err := far.Driver(spec.DriverSystemd); !errors.Is(err, drivers.ErrUnsupported) || !strings.Contains(err.Error(), "there is none") {
		t.Errorf("a driver that it lacks: %v", err)
	}
	content := []byte("a\xffb")
	digest := driverstest.ContentDigest(content)
	if err := far.Put(ctx, digest, content); err != nil {
		t.Fatal(err)
	}
	if has, err := far.Has(ctx, digest); err != nil || !has {
		t.Errorf("has %v, %v", has, err)
	}
	if got, err := far.Get(ctx, digest); err != nil || !bytes.Equal(got, content) {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := far.Get(ctx, driverstest.ContentDigest(nil)); !errors.Is(err, drivers.ErrNotFound) {
		t.Errorf("what isn't there: %v", err)
	}
	near.Probes(func(context.Context, string, spec.Health) error { return errors.New("503") })
	if err := far.Probe(ctx, "web", spec.Health{TCP: "localhost:1"}); err == nil || err.Error() != "503" {
		t.Errorf("probe: %v", err)
	}
	for i := range 3 {
		far.Record(spec.Event{At: time.Now(), Name: "web", Type: "Normal", Reason: fmt.Sprint(i)})
	}
	var seen []string
	if err := far.Events(ctx, time.Time{}, false, func(e spec.Event) bool { seen = append(seen, e.Reason); return true }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"0", "1", "2"}, seen); diff != "" {
		t.Error(diff)
	}
	if _, err := far.LookPath(ctx, "no-such-program"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a program that isn't there: %v", err)
	}
}

func TestLocksEndWithTheLink(t *testing.T) {
	near := driverstest.NewHost()
	one := connect(t, Local{Host: near.Reopen()})
	if _, err := one.Lock(t.Context(), "shop", drivers.Holder{ID: "1"}); err != nil {
		t.Fatal(err)
	}
	two := connect(t, Local{Host: near.Reopen()})
	if _, err := two.Lock(t.Context(), "shop", drivers.Holder{ID: "2"}); !errors.Is(err, drivers.ErrConflict) {
		t.Fatalf("a lock that is held: %v", err)
	}
	one.Close()
	if err := <-one.ended; err != nil {
		t.Fatal(err)
	}
	release, err := two.Lock(t.Context(), "shop", drivers.Holder{ID: "2"})
	if err != nil {
		t.Fatal(err)
	}
	release()
	if hs, err := two.Holders(t.Context()); err != nil || len(hs) != 0 {
		t.Fatalf("held after its release: %v, %v", hs, err)
	}
}

// slowDriver takes until it is told to end a step.
type slowDriver struct {
	drivers.Driver
	begun, finish chan struct{}
	done          func()
}

func (d *slowDriver) Apply(ctx context.Context, _ spec.Step) error {
	close(d.begun)
	select {
	case <-d.finish:
	case <-ctx.Done():
		return ctx.Err()
	}
	d.done()
	return nil
}

func TestTheStepInHandIsFinished(t *testing.T) {
	finished := false
	slow := &slowDriver{Driver: driverstest.NewFake(), begun: make(chan struct{}), finish: make(chan struct{}), done: func() { finished = true }}
	far := connect(t, Local{Host: driverstest.NewHost(slow)})
	applied := make(chan error, 1)
	go func() {
		applied <- far.Drivers()[0].Apply(context.Background(), spec.Step{Verb: spec.VerbStop, Name: "web"})
	}()
	<-slow.begun
	far.Close()
	if err := <-applied; err == nil {
		t.Error("a step whose end nobody told of was called done")
	}
	close(slow.finish)
	if err := <-far.ended; err != nil || !finished {
		t.Errorf("the agent ended with %v, and the step is finished: %v", err, finished)
	}
}

func TestSilenceIsNoticed(t *testing.T) {
	for _, silent := range []string{"agent", "controller"} {
		t.Run(silent, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				ended := make(chan time.Duration, 1)
				start := time.Now()
				if silent == "agent" {
					go func() {
						_ = writeGreeting(theirs, greeting{Protocol: Protocol})
						_, _ = io.Copy(io.Discard, theirs)
					}()
					h, err := Connect(t.Context(), ours, ConnectOptions{Name: "far", Ping: time.Second})
					if err != nil {
						t.Fatal(err)
					}
					<-h.Done()
					if !errors.Is(h.Err(), drivers.ErrUnreachable) {
						t.Errorf("lost with %v", h.Err())
					}
					if _, err := h.Has(t.Context(), "x"); !errors.Is(err, drivers.ErrUnreachable) {
						t.Errorf("asked afterwards: %v", err)
					}
					ended <- time.Since(start)
				} else {
					go func() {
						if err := Serve(t.Context(), theirs, theirs, Local{Host: driverstest.NewHost()}); err != nil {
							t.Errorf("serve: %v", err)
						}
						ended <- time.Since(start)
					}()
					if _, err := greet(bufio.NewReader(ours), ours, "far", time.Second); err != nil {
						t.Fatal(err)
					}
				}
				if d := <-ended; d < 2*time.Second || d > 3*time.Second {
					t.Errorf("noticed after %s", d)
				}
				ours.Close()
				theirs.Close()
			})
		})
	}
}

// TestHostileAgents: whatever the far side says, what is asked of it ends with an error, and takes no more memory than was granted.
func TestHostileAgents(t *testing.T) {
	for name, does := range map[string]func(w io.Writer, id uint32) error{
		"a frame of 4 GB": func(w io.Writer, _ uint32) error {
			_, err := w.Write([]byte{0xff, 0xff, 0xff, 0xff, byte(frameResult), 0, 0, 0, 1})
			return err
		},
		"no such frame": func(w io.Writer, _ uint32) error { _, err := w.Write(make([]byte, headerLen)); return err },
		"a flood": func(w io.Writer, id uint32) error {
			for {
				if _, err := w.Write(frame{kind: frameData, id: id, body: make([]byte, maxPart)}.encode()); err != nil {
					return nil
				}
			}
		},
		"a call": func(w io.Writer, id uint32) error {
			_, err := w.Write(frame{kind: frameCall, id: id}.encode())
			return err
		},
		"no result": func(w io.Writer, id uint32) error {
			_, err := w.Write(frame{kind: frameResult, id: id, body: []byte("{")}.encode())
			return err
		},
		"a look at others": func(w io.Writer, id uint32) error {
			_, err := w.Write(frame{kind: frameResult, id: id, body: []byte(`{"result":{"found":[{"at":0,"observed":{"name":"other","state":"Absent"}}]}}`)}.encode())
			return err
		},
		"a look beside the names": func(w io.Writer, id uint32) error {
			_, err := w.Write(frame{kind: frameResult, id: id, body: []byte(`{"result":{"found":[{"at":1,"observed":{"name":"web","state":"Absent"}}]}}`)}.encode())
			return err
		},
		"as before, where there is no before": func(w io.Writer, id uint32) error {
			_, err := w.Write(frame{kind: frameResult, id: id, body: []byte(`{"result":{"now":7}}`)}.encode())
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := net.Pipe()
			defer theirs.Close()
			go func() {
				_ = writeGreeting(theirs, greeting{Protocol: Protocol, Drivers: []driverFacts{{Kind: spec.DriverProcess}}})
				r := bufio.NewReader(theirs)
				for {
					f, err := readFrame(r)
					if err != nil {
						return
					}
					if f.kind == frameCall {
						go func() { _ = does(theirs, f.id) }()
					}
				}
			}()
			h, err := Connect(t.Context(), ours, ConnectOptions{Name: "far"})
			if err != nil {
				t.Fatal(err)
			}
			defer h.Close()
			if found, err := h.Drivers()[0].Observe(t.Context(), "web"); err == nil {
				t.Errorf("believed %+v", found)
			}
		})
	}
}

func TestASlowReaderHoldsUpNobody(t *testing.T) {
	near := driverstest.NewHost()
	for i := range 5000 {
		near.Record(spec.Event{At: time.Now(), Name: "web", Reason: fmt.Sprint(i), Message: strings.Repeat("x", 200)})
	}
	far := connect(t, Local{Host: near})
	once := sync.OnceFunc(func() {
		if _, err := far.Has(t.Context(), "x"); err != nil {
			t.Error(err)
		}
	})
	n := 0
	err := far.Events(t.Context(), time.Time{}, false, func(spec.Event) bool {
		once()
		n++
		return true
	})
	if err != nil || n != 5000 {
		t.Errorf("read %d events, %v", n, err)
	}
}

func TestErrorsKeepTheirKind(t *testing.T) {
	lack := &drivers.Unavailable{Kind: spec.DriverSystemd, Reason: "there is none"}
	for _, k := range kinds() {
		b, err := json.Marshal(pack(fmt.Errorf("do it: %w: %w", k.err, lack)))
		if err != nil {
			t.Fatal(err)
		}
		var f failure
		if err := json.Unmarshal(b, &f); err != nil {
			t.Fatal(err)
		}
		got := f.unpack()
		var u *drivers.Unavailable
		if !errors.Is(got, k.err) || !errors.As(got, &u) || u.Reason != lack.Reason || !strings.HasPrefix(got.Error(), "do it: ") {
			t.Errorf("%s came as %v", k.name, got)
		}
	}
	if (*failure)(nil).unpack() != nil || pack(nil) != nil {
		t.Error("no error became one")
	}
}

func TestGreetingAmongNoise(t *testing.T) {
	for _, c := range []struct{ name, said, err string }{
		{name: "at once", said: "\n" + mark + `{"protocol":1}` + "\n"},
		{name: "after a message of the day", said: "Welcome!\r\n* news *\nno newline" + "\n" + mark + `{"protocol":1}` + "\n"},
		{name: "nobody", said: "", err: "silence"},
		{name: "somebody else", said: "This account is currently not available.\n", err: "not available"},
		{name: "a flood", said: strings.Repeat("x\n", maxNoise), err: "more than"},
		{name: "escapes", said: "\x1b[2Jhi\n", err: "hi"},
		{name: "half", said: mark + "{", err: "no agent answers"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, err := scanGreeting(bufio.NewReader(strings.NewReader(c.said)))
			switch {
			case c.err == "" && (err != nil || g.Protocol != 1):
				t.Errorf("got %+v, %v", g, err)
			case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "\x1b")):
				t.Errorf("got %+v, %v", g, err)
			}
		})
	}
}

func TestOtherVersionsAndMachinesThatDontOpen(t *testing.T) {
	for _, c := range []struct {
		g    greeting
		want error
		says string
	}{
		{greeting{Protocol: 99, Facts: Facts{Version: "v9"}}, drivers.ErrUnsupported, "speaks protocol 99"},
		{greeting{Protocol: Protocol, Error: pack(errors.New("no home"))}, drivers.ErrPermanent, "no home"},
	} {
		ours, theirs := net.Pipe()
		go func() { _ = writeGreeting(theirs, c.g) }()
		if _, err := Connect(t.Context(), ours, ConnectOptions{Name: "far"}); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("got %v", err)
		}
	}
}

func FuzzFrame(f *testing.F) {
	f.Add(frame{kind: frameResult, id: 7, body: []byte("{}")}.encode())
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 4, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		got, err := readFrame(r)
		if err != nil {
			return
		}
		if used := b[:len(b)-r.Len()]; !bytes.Equal(got.encode(), used) {
			t.Errorf("%q was read as %+v", used, got)
		}
	})
}

func FuzzGreeting(f *testing.F) {
	f.Add("noise\n" + mark + `{"protocol":1,"drivers":[{"kind":"process"}]}` + "\n")
	f.Fuzz(func(t *testing.T, s string) {
		if g, err := scanGreeting(bufio.NewReader(strings.NewReader(s))); (g == nil) == (err == nil) {
			t.Errorf("got %+v, %v", g, err)
		}
	})
}

func FuzzOctets(f *testing.F) {
	f.Add("caf\xe9 \U0010ff41")
	f.Fuzz(func(t *testing.T, s string) {
		b, err := json.Marshal(toText(s))
		if err != nil {
			t.Fatal(err)
		}
		var back string
		if err := json.Unmarshal(b, &back); err != nil || fromText(back) != s {
			t.Errorf("%q came as %q, %v", s, fromText(back), err)
		}
	})
}

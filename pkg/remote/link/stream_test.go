package link_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/remote/link"
	"reconciler.dev/reconciler/test/simhost"
)

func TestStreamCarriesBytesBothWays(t *testing.T) {
	c := dial(t, link.New(link.Options{}), simulate(t, simhost.Options{}).Target())
	s, err := c.Open(t.Context(), "cat")
	if err != nil {
		t.Fatal(err)
	}
	big := strings.Repeat("0123456789abcdef", 1<<18) // more than any window
	go func() {
		io.WriteString(s, big)
		s.CloseWrite()
	}()
	got, err := io.ReadAll(s)
	if err != nil || string(got) != big {
		t.Errorf("%d bytes came back of %d, %v", len(got), len(big), err)
	}
	if err := s.Wait(); err != nil {
		t.Error(err)
	}
	if err := s.Wait(); err != nil {
		t.Errorf("again: %v", err)
	}
}

func TestHowCommandsEnd(t *testing.T) {
	c := dial(t, link.New(link.Options{}), simulate(t, simhost.Options{}).Target())
	for command, want := range map[string]*link.ExitError{
		"say x":      nil,
		"complain x": {Status: 3},
		"what":       {Status: 127},
		"vanish":     {Status: -1},
	} {
		s, err := c.Open(t.Context(), command)
		if err != nil {
			t.Fatal(err)
		}
		var got *link.ExitError
		if err := s.Wait(); err != nil && !errors.As(err, &got) {
			t.Fatalf("%s: %v", command, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", command, diff)
		}
		s.Close()
	}
}

func TestStderrIsABoundedTail(t *testing.T) {
	c := dial(t, link.New(link.Options{}), simulate(t, simhost.Options{}).Target())
	for command, suffix := range map[string]string{"complain bitterly": "bitterly", "flood": "line 99999\n"} {
		s, err := c.Open(t.Context(), command)
		if err != nil {
			t.Fatal(err)
		}
		s.Wait()
		if got := s.Stderr(); !strings.HasSuffix(got, suffix) || len(got) > 8<<10 {
			t.Errorf("%s: %d bytes that end with %q", command, len(got), got[max(0, len(got)-20):])
		}
		s.Close()
	}
}

// TestCloseUnblocksEverybody, also where the host will never say a word again.
func TestCloseUnblocksEverybody(t *testing.T) {
	h := simulate(t, simhost.Options{})
	p := simhost.StartProxy(t, net.JoinHostPort("127.0.0.1", portOf(h)))
	target := h.Target()
	target.Port = p.Port()
	for name, end := range map[string]func(*link.Conn, link.Stream){
		"the stream":     func(_ *link.Conn, s link.Stream) { s.Close() },
		"the connection": func(c *link.Conn, _ link.Stream) { c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			p.Silence(false)
			c := dial(t, link.New(link.Options{}), target)
			s, err := c.Open(t.Context(), "wait")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(s, make([]byte, len("waiting"))); err != nil {
				t.Fatal(err)
			}
			p.Silence(true)
			said := make(chan error, 3)
			go func() { _, err := s.Read(make([]byte, 1)); said <- err }()
			go func() { _, err := s.Write(make([]byte, 8<<20)); said <- err }() // more than all buffers on the way
			go func() { said <- s.Wait() }()
			end(c, s)
			for range 3 {
				if err := <-said; !errors.Is(err, net.ErrClosed) && !errors.Is(err, drivers.ErrUnreachable) {
					t.Errorf("somebody was told %v", err)
				}
			}
			s.Close()
		})
	}
}

func TestLossOfTheLinkIsNoEnd(t *testing.T) {
	h := simulate(t, simhost.Options{})
	c := dial(t, link.New(link.Options{}), h.Target())
	s, err := c.Open(t.Context(), "wait")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(s, make([]byte, len("waiting"))); err != nil {
		t.Fatal(err)
	}
	h.Cut()
	_, err = s.Read(make([]byte, 1))
	wants(t, err, gone, "host sim", "lost")
	wants(t, s.Wait(), gone, "lost")
	<-c.Done()
	wants(t, c.Err(), gone, "lost")
	_, err = c.Open(t.Context(), "say x")
	wants(t, err, gone, "lost")
	if _, err := s.Write(make([]byte, 1<<20)); err == nil {
		t.Error("it can still be written to")
	}
}

func TestSessionsAreLimited(t *testing.T) {
	h := simulate(t, simhost.Options{MaxSessions: 1})
	c := dial(t, link.New(link.Options{}), h.Target())
	s, err := c.Open(t.Context(), "wait")
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Open(t.Context(), "say x")
	wants(t, err, []error{link.ErrNoSession}, "MaxSessions")
	s.Close()
	for { // the host is told of the close, and takes its time
		if s, err = c.Open(t.Context(), "say x"); err == nil {
			break
		}
		wants(t, err, []error{link.ErrNoSession})
		time.Sleep(time.Millisecond)
	}
	s.Close()
}

func TestHostThatRunsNoCommands(t *testing.T) {
	c := dial(t, link.New(link.Options{}), simhost.Start(t, simhost.Options{}).Target())
	_, err := c.Open(t.Context(), "say x")
	wants(t, err, []error{drivers.ErrPermanent}, "runs no commands")
}

func TestClosedConnection(t *testing.T) {
	c := dial(t, link.New(link.Options{}), simulate(t, simhost.Options{}).Target())
	c.Close()
	c.Close()
	<-c.Done()
	if err := c.Err(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
	_, err := c.Open(t.Context(), "say x")
	wants(t, err, gone, "was closed")
}

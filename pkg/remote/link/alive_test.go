package link_test

import (
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"reconciler.dev/reconciler/pkg/remote/link"
	"reconciler.dev/reconciler/test/simhost"
)

func portOf(h *simhost.Host) string { return strconv.Itoa(h.Port()) }

// unlisted connects to a host within a bubble, where time passes only while everybody waits.
func unlisted(t *testing.T, interval time.Duration, count int) (*simhost.Host, *link.Conn) {
	t.Helper()
	h := simulate(t, simhost.Options{Unlisted: true})
	target := h.Target()
	target.AliveInterval, target.AliveCountMax = interval, count
	return h, dial(t, link.New(link.Options{Connect: h.Connect}), target)
}

// TestHalfOpenLinkIsNoticed: a link on which nothing comes any more, and that nobody closes, is given up after three intervals.
func TestHalfOpenLinkIsNoticed(t *testing.T) {
	for _, c := range []struct {
		interval time.Duration
		count    int
		after    time.Duration
	}{{0, 0, 45 * time.Second}, {time.Second, 0, 3 * time.Second}, {10 * time.Second, 5, 50 * time.Second}, {time.Second, 1, 2 * time.Second}} {
		t.Run(c.after.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, conn := unlisted(t, c.interval, c.count)
				s, err := conn.Open(t.Context(), "cat")
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				time.Sleep(7 * c.after / 3) // it lives on while it is answered
				io.WriteString(s, "x")
				if _, err := s.Read(make([]byte, 1)); err != nil {
					t.Fatal(err)
				}
				h.Silence(true)
				begun := time.Now()
				_, err = s.Read(make([]byte, 1))
				if took := time.Since(begun); took != c.after {
					t.Errorf("noticed after %s, want %s", took, c.after)
				}
				wants(t, err, gone, "no sign of life for "+c.after.String())
				wants(t, s.Wait(), gone)
				wants(t, conn.Err(), gone, "no sign of life")
			})
		})
	}
}

// TestSilentLinkIsAsked once in an interval, and one that carries bytes never is.
func TestSilentLinkIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, c := unlisted(t, time.Minute, 3)
		s, err := c.Open(t.Context(), "cat")
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for range 10 {
			time.Sleep(59 * time.Second)
			io.WriteString(s, "x")
			if _, err := s.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		if slices.Contains(h.Asked(), "keepalive@openssh.com") {
			t.Error("it was asked for a sign of life while it gave many")
		}
		time.Sleep(24 * time.Hour)
		if !slices.Contains(h.Asked(), "keepalive@openssh.com") || c.Err() != nil {
			t.Errorf("asked for %v, and then %v", h.Asked(), c.Err())
		}
		h.Hang(simhost.Alive) // who doesn't answer is gone
		begun := time.Now()
		<-c.Done()
		if took := time.Since(begun); took > 3*time.Minute {
			t.Errorf("noticed after %s", took)
		}
	})
}

// TestHeldLinkGoesOn: what comes late, and before it was given up, is a sign of life.
func TestHeldLinkGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, c := unlisted(t, time.Minute, 3)
		for range 5 {
			h.Silence(true)
			time.Sleep(2*time.Minute + 50*time.Second)
			h.Silence(false)
			if got := output(t, c, "say again"); got != "again" {
				t.Errorf("got %q", got)
			}
		}
		if c.Err() != nil {
			t.Error(c.Err())
		}
	})
}

// TestBusyHalfOpenLinkIsNoticed: also where so much is to be sent that not even a question gets through, on a real connection.
func TestBusyHalfOpenLinkIsNoticed(t *testing.T) {
	h := simulate(t, simhost.Options{})
	p := simhost.StartProxy(t, net.JoinHostPort("127.0.0.1", portOf(h)))
	target := h.Target()
	target.Port, target.AliveInterval = p.Port(), 50*time.Millisecond
	c := dial(t, link.New(link.Options{}), target)
	s, err := c.Open(t.Context(), "cat")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p.Silence(true)
	said := make(chan error)
	go func() {
		_, err := s.Write(make([]byte, 32<<20))
		said <- err
	}()
	_, err = s.Read(make([]byte, 1))
	wants(t, err, gone, "no sign of life for 150ms")
	if err := <-said; err == nil || errors.Is(err, net.ErrClosed) {
		t.Errorf("who wrote was told %v", err)
	}
	wants(t, c.Err(), gone, "no sign of life")
}

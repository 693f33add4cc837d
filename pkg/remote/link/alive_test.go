package link_test

import (
	"io"
	"net"
	"slices"
	"strconv"
	"testing"
	"time"

	"reconciler.dev/reconciler/pkg/remote/link"
	"reconciler.dev/reconciler/test/simhost"
)

func portOf(h *simhost.Host) string { return strconv.Itoa(h.Port()) }

// TestHalfOpenLinkIsNoticed: a link on which nothing comes any more, and that nobody closes, is given up after three intervals, whether somebody writes or not.
func TestHalfOpenLinkIsNoticed(t *testing.T) {
	const interval = 200 * time.Millisecond
	for _, busy := range []bool{false, true} {
		t.Run("busy "+strconv.FormatBool(busy), func(t *testing.T) {
			h := simulate(t, simhost.Options{})
			p := simhost.StartProxy(t, net.JoinHostPort("127.0.0.1", portOf(h)))
			target := h.Target()
			target.Port, target.AliveInterval = p.Port(), interval
			c := dial(t, link.New(link.Options{}), target)
			s, err := c.Open(t.Context(), "cat")
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			begun := time.Now()
			p.Silence(true)
			if busy {
				go s.Write(make([]byte, 32<<20)) // it fills all buffers, so that not even a question can be sent
			}
			_, err = s.Read(make([]byte, 1))
			if took := time.Since(begun); took > 3*interval+interval/2 || took < interval {
				t.Errorf("noticed after %s", took)
			}
			wants(t, err, gone, "no sign of life for 600ms")
			wants(t, s.Wait(), gone)
			wants(t, c.Err(), gone, "no sign of life")
		})
	}
}

// TestSilentLinkIsAsked, and one that answers lives on; what carries bytes is never asked.
func TestSilentLinkIsAsked(t *testing.T) {
	h := simulate(t, simhost.Options{})
	target := h.Target()
	target.AliveInterval, target.AliveCountMax = 60*time.Millisecond, 2
	quiet := dial(t, link.New(link.Options{}), target)
	for !slices.Contains(h.Asked(), "keepalive@openssh.com") {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(300 * time.Millisecond)
	if quiet.Err() != nil {
		t.Errorf("it was given up: %v", quiet.Err())
	}
	h.Hang(simhost.Alive)
	<-quiet.Done()
	wants(t, quiet.Err(), gone, "no sign of life for 120ms")

	h = simulate(t, simhost.Options{})
	target = h.Target()
	target.AliveInterval = 300 * time.Millisecond
	s, err := dial(t, link.New(link.Options{}), target).Open(t.Context(), "cat")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for begun := time.Now(); time.Since(begun) < 700*time.Millisecond; {
		io.WriteString(s, "x")
		if _, err := s.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	if slices.Contains(h.Asked(), "keepalive@openssh.com") {
		t.Error("it was asked for a sign of life while it gave many")
	}
}

// TestThawedLinkIsAskedFirst: a link that was held for a while, and then goes on, isn't lost before three intervals went by.
func TestThawedLinkIsAskedFirst(t *testing.T) {
	h := simulate(t, simhost.Options{})
	p := simhost.StartProxy(t, net.JoinHostPort("127.0.0.1", portOf(h)))
	target := h.Target()
	target.Port, target.AliveInterval = p.Port(), 200*time.Millisecond
	c := dial(t, link.New(link.Options{}), target)
	p.Silence(true)
	time.Sleep(300 * time.Millisecond)
	p.Silence(false)
	if got := output(t, c, "say again"); got != "again" {
		t.Errorf("got %q", got)
	}
	time.Sleep(700 * time.Millisecond)
	if c.Err() != nil {
		t.Error(c.Err())
	}
}

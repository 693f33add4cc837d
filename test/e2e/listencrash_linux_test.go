package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"reconciler.dev/reconciler/internal/freeport"
)

// listens gives a daemon sockets that are held for it. It answers on the first.
func (w *testimony) listens(addrs ...string) *testimony {
	if w.addr = addrs[0]; !slices.Contains(w.args, "-held") {
		w.args = append(w.args, "-held")
	}
	w.spec = fmt.Sprintf("  listen: [\"tcp://%s\"]\n", strings.Join(addrs, "\", \"tcp://")) + without(w.spec, "  listen:")
	return w
}

// answers checks that who connects gets the answer of its only process.
func (w *testimony) answers() {
	w.m.t.Helper()
	body, err := fetch(http.MethodGet, "http://"+w.addr+"/healthz")
	if pid := w.pid(); err != nil || strings.TrimSpace(body) != fmt.Sprint(pid) {
		w.m.t.Errorf("the answer is %q (%v), want that of process %d", body, err, pid)
	}
}

// refused tells whether nobody listens on an address.
func refused(t testing.TB, addr string) bool {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err == nil {
		c.Close()
		return false
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatal(err)
	}
	return true
}

// reachable fails the test where somebody who connects is refused, until it is called.
func (m *machine) reachable(addr string) func() {
	ctx, cancel := context.WithCancel(m.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 1; ctx.Err() == nil; n++ {
			c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
			if err == nil {
				_ = c.(*net.TCPConn).SetLinger(0) // thousands come and go
				c.Close()
			} else if ctx.Err() == nil {
				m.t.Errorf("connection %d: %v", n, err)
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
	end := sync.OnceFunc(func() { cancel(); wg.Wait() })
	m.t.Cleanup(end)
	return end
}

// socketOperations are those on a daemon whose sockets are held. Whatever is cut off, who connects to one that it has before and after the operation is never refused.
func socketOperations() []operation {
	one := func(s *scene) {
		s.web.listens(freeport.Address(s.t)).applied()
		s.meanwhile = s.reachable(s.web.addr)
	}
	answers := func(s *scene) { s.live(s.web, "one"); s.web.answers(); s.meanwhile() }
	return []operation{{
		name:    "first apply of what listens",
		before:  func(s *scene) { s.web.listens(freeport.Address(s.t)).declare() },
		command: func(s *scene) []string { return s.apply() },
		after:   func(s *scene) { s.live(s.web, "one"); s.web.answers() },
	}, {
		name: "update of what it listens on",
		before: func(s *scene) {
			s.goes, s.comes = freeport.Address(s.t), freeport.Address(s.t)
			one(s)
			stays := s.web.addr
			s.web.listens(stays, s.goes).applied().listens(stays, s.comes).declare()
		},
		command: func(s *scene) []string { return s.apply() },
		after: func(s *scene) {
			if answers(s); refused(s.t, s.comes) || !refused(s.t, s.goes) {
				s.t.Errorf("%s is to be listened on, and %s isn't any more", s.comes, s.goes)
			}
		},
	}, {
		name:    "restart of what listens",
		before:  one,
		command: func(s *scene) []string { return []string{"restart", s.web.name} },
		after:   answers,
	}, {
		name:    "stop of what listens",
		before:  func(s *scene) { s.web.listens(freeport.Address(s.t)).applied() },
		command: func(s *scene) []string { return []string{"stop", s.web.name} },
		after: func(s *scene) {
			if c := s.web.copies(); len(c) > 0 || !refused(s.t, s.web.addr) {
				s.t.Errorf("it was stopped, and is listened for, or lives: %v", c)
			}
		},
	}, {
		name:    "delete of what listens",
		before:  func(s *scene) { s.web.listens(freeport.Address(s.t)).applied() },
		command: func(s *scene) []string { return []string{"delete", s.web.name, "--ignore-not-found"} },
		after: func(s *scene) {
			if s.gone(s.web); !refused(s.t, s.web.addr) {
				s.t.Errorf("it was deleted, and is listened for")
			}
		},
	}}
}

// holderOperation has a run lose the process that holds sockets, and the daemon after that, as the kernel ends both that wants memory.
func holderOperation() operation {
	return operation{
		name: "a run that loses the holder of sockets",
		before: func(s *scene) {
			s.web.listens(freeport.Address(s.t)).applied()
			s.meanwhile = s.reachable(s.web.addr)
		},
		command: func(s *scene) []string { return []string{"run", "-f", s.path("manifests"), "--resync=1h"} },
		during: func(s *scene, c *command) {
			s.untilReady(c, 0)
			if was := s.untilHeld(c, 0); was != 0 {
				s.try(s.mark.kill(was))
				s.untilHeld(c, was)
			}
			if !c.hasEnded() {
				s.untilReady(c, s.web.kill())
			}
		},
		after: func(s *scene) { s.live(s.web, "one"); s.web.answers(); s.meanwhile() },
	}
}

// untilHeld waits until another process than old holds the socket of web, and returns it; 0 where the run died before.
func (s *scene) untilHeld(c *command, old int) (holder int) {
	s.t.Helper()
	s.eventually("the socket is held, or the run died", func() bool {
		for _, p := range s.holders() {
			if p.pid != old && slices.ContainsFunc(openSockets(p.pid), func(socket string) bool { return slices.Contains(openSockets(s.get(s.web.name).Status.PID), socket) }) {
				holder = p.pid
			}
		}
		return holder != 0 || c.hasEnded()
	})
	if c.hasEnded() {
		return 0
	}
	return holder
}

// holders are the living processes that hold sockets, and those that are just ending, which have no arguments any more.
func (m *machine) holders() []proc {
	m.t.Helper()
	return slices.DeleteFunc(m.mark.alive(m.t), func(p proc) bool { return p.args[0] != "reconciler-sockets" && p.args[0] != "" })
}

// openSockets are those that a process has open, as /proc names them.
func openSockets(pid int) (all []string) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, f := range files {
		if to, err := os.Readlink(f); err == nil && strings.HasPrefix(to, "socket:") {
			all = append(all, to)
		}
	}
	return all
}

package driverstest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

func listenCases() []testCase {
	return []testCase{
		{"sockets are handed over as sd_listen_fds(3) says, in their order", func(b *bench) {
			ports := []int{b.m.Port(b.t), b.m.Port(b.t), b.m.Port(b.t)}
			slices.Sort(ports)
			slices.Reverse(ports)
			d := b.listener("web", ports...)
			if b.lacks("spec.listen") {
				b.mustFail(b.step(spec.VerbStart, d), drivers.ErrUnsupported)
				return
			}
			o := b.start(d)
			l := b.begun("leader")
			var names []string
			for i, port := range ports {
				names = append(names, fmt.Sprint(port))
				b.answers(b.dial(port), 3+i, l.PID)
				if !strings.HasPrefix(l.Files[3+i], "socket:") {
					b.t.Errorf("descriptor %d is %q", 3+i, l.Files[3+i])
				}
			}
			for name, want := range map[string]string{"LISTEN_PID": fmt.Sprint(l.PID), "LISTEN_FDS": "3", "LISTEN_FDNAMES": strings.Join(names, ":")} {
				if got := slices.IndexFunc(l.Env, func(kv []byte) bool { return string(kv) == name+"="+want }); got < 0 {
					b.t.Errorf("%s isn't %s in %q", name, want, l.Env)
				}
			}
			if len(l.Files) != 6 {
				b.t.Errorf("it has %v open", l.Files)
			}
			if o.Instance.PID != l.PID || len(o.Drift) > 0 {
				b.t.Errorf("it is %+v, drift %v", o.Instance, o.Drift)
			}
		}},
		{"who connects after a crash waits for the next instance", func(b *bench) {
			b.listening(func(d *spec.Daemon, port int) {
				if err := b.m.Signal(b.observe("web").Instance.PID, "SIGKILL"); err != nil {
					b.t.Fatal(err)
				}
				b.becomes("web", spec.Exited)
				c := b.dial(port)
				o := b.start(d)
				b.answers(c, 3, o.Instance.PID)
			})
		}},
		{"who connects between a stop and a start waits, and another value over the same state knows the socket", func(b *bench) {
			b.listening(func(d *spec.Daemon, port int) {
				b.must(spec.VerbStop, d)
				c := b.dial(port)
				b.Driver = b.Reopen()
				o := b.start(d)
				b.answers(c, 3, o.Instance.PID)
			})
		}},
		{"who connects starts nothing", func(b *bench) {
			b.listening(func(d *spec.Daemon, port int) {
				if err := b.m.Signal(b.observe("web").Instance.PID, "SIGKILL"); err != nil {
					b.t.Fatal(err)
				}
				b.becomes("web", spec.Exited)
				for range 30 {
					b.dial(port)
				}
				<-time.After(soon)
				if o := b.wantState("web", spec.Exited); b.copies() > 0 {
					b.t.Errorf("%d copies run: %+v", b.copies(), o)
				}
				b.dial(port)
			})
		}},
		{"a changed list opens and closes what changed, and nothing else", func(b *bench) {
			b.listening(func(d *spec.Daemon, stays int) {
				goes, comes := b.m.Port(b.t), b.m.Port(b.t)
				d = b.relisten(d, goes, stays)
				b.dial(goes)
				b.must(spec.VerbStop, d)
				c := b.dial(stays)
				next := b.listener("web", stays, comes)
				s := b.step(spec.VerbStart, next)
				s.Generation = 3
				b.mustStep(s)
				b.eventually("it reports", func() bool { return b.copies() == 1 })
				o := b.observe("web")
				b.answers(c, 3, o.Instance.PID)
				b.answers(b.dial(comes), 4, o.Instance.PID)
				b.refused(goes)
			})
		}},
		{"without a list there are no sockets any more", func(b *bench) {
			b.listening(func(d *spec.Daemon, port int) {
				b.must(spec.VerbStop, d)
				s := b.step(spec.VerbStart, b.daemon("web", b.stay()))
				s.Generation = 2
				b.mustStep(s)
				b.refused(port)
			})
		}},
		{"what is removed listens no more", func(b *bench) {
			b.listening(func(d *spec.Daemon, port int) {
				b.must(spec.VerbStop, d)
				b.dial(port)
				b.must(spec.VerbRemove, d)
				b.refused(port)
			})
		}},
		{"what a user stopped listens no more, and again once it is resumed", func(b *bench) {
			b.listening(func(d *spec.Daemon, port int) {
				b.must(spec.VerbPause, d)
				b.answers(b.dial(port), 3, b.observe("web").Instance.PID)
				b.must(spec.VerbStop, d)
				b.refused(port)
				b.must(spec.VerbResume, d)
				o := b.start(d)
				b.answers(b.dial(port), 3, o.Instance.PID)
			})
		}},
		{"what shall stay stopped listens no more, before it is started again", func(b *bench) {
			b.listening(func(d *spec.Daemon, port int) {
				s := b.step(spec.VerbStop, d)
				s.Stay = true
				b.mustStep(s)
				b.refused(port)
				o := b.start(d)
				b.answers(b.dial(port), 3, o.Instance.PID)
			})
		}},
		{"the pause of one that has ended ends its listening", func(b *bench) {
			b.listening(func(d *spec.Daemon, port int) {
				b.must(spec.VerbStop, d)
				b.must(spec.VerbPause, d)
				b.refused(port)
			})
		}},
		{"somebody else's address is refused, and stays theirs", func(b *bench) {
			b.listening(func(d *spec.Daemon, port int) {
				fine := b.m.Port(b.t)
				err := b.apply(b.step(spec.VerbStart, b.listener("api", fine, port)))
				if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("tcp://0.0.0.0:%d", port)) {
					b.t.Errorf("got %v", err)
				}
				b.answers(b.dial(port), 3, b.observe("web").Instance.PID)
				if o := b.observe("api"); o.Instance != nil && o.Instance.Exit == nil {
					b.t.Errorf("it runs all the same: %+v", o.Instance)
				}
			})
		}},
		{"a child can't be reached by a number that isn't its own", func(b *bench) {
			b.listening(func(d *spec.Daemon, port int) {
				b.must(spec.VerbStop, d)
				o := b.stay()
				o.Child = "session"
				next := b.daemon("web", o)
				next.Spec.Listen = d.Spec.Listen
				s := b.step(spec.VerbStart, sealed(next))
				s.Generation = 2
				b.mustStep(s)
				b.eventually("both report", func() bool { return len(b.lines("child", "")) == 1 && b.copies() == 1 })
				if l := b.begun("child"); slices.ContainsFunc(l.Env, func(kv []byte) bool { return string(kv) == fmt.Sprintf("LISTEN_PID=%d", l.PID) }) {
					b.t.Errorf("the child is told that the sockets are its own: %q", l.Env)
				}
			})
		}},
	}
}

// listener declares a daemon that answers on ports.
func (b *bench) listener(name string, ports ...int) *spec.Daemon {
	o := b.stay()
	o.Accept = true
	d := b.daemon(name, o)
	for _, p := range ports {
		d.Spec.Listen = append(d.Spec.Listen, fmt.Sprintf("tcp://0.0.0.0:%d", p))
	}
	b.t.Cleanup(func() { b.remove(name) })
	return sealed(d)
}

// remove ends and removes a daemon, so that nothing goes on listening for it.
func (b *bench) remove(name string) {
	ctx, d := context.WithoutCancel(b.t.Context()), b.Reopen()
	found, err := d.Observe(ctx, name)
	if err != nil {
		b.t.Errorf("clean up: %v", err)
		return
	}
	for _, verb := range []spec.Verb{spec.VerbStop, spec.VerbRemove} {
		s := spec.Step{Verb: verb, Name: name, Stop: spec.Stop{Signal: "SIGKILL", GracePeriod: seconds(5)}}
		if i := found[0].Instance; i != nil {
			s.Instance = i.ID
		}
		if err := d.Apply(ctx, s); err != nil {
			b.t.Errorf("clean up: %v", err)
		}
	}
}

// listening starts web, which answers on a port, and does the rest of a case. One that can't listen has refused the first of them.
func (b *bench) listening(rest func(d *spec.Daemon, port int)) {
	b.t.Helper()
	port := b.m.Port(b.t)
	d := b.listener("web", port)
	if b.lacks("spec.listen") {
		b.mustFail(b.step(spec.VerbStart, d), drivers.ErrUnsupported)
		return
	}
	o := b.start(d)
	b.answers(b.dial(port), 3, o.Instance.PID)
	rest(d, port)
}

// relisten starts web anew, as the next generation, with other ports.
func (b *bench) relisten(d *spec.Daemon, ports ...int) *spec.Daemon {
	b.t.Helper()
	b.must(spec.VerbStop, d)
	next := b.listener("web", ports...)
	s := b.step(spec.VerbStart, next)
	s.Generation = 2
	b.mustStep(s)
	b.eventually("it reports", func() bool { return b.copies() == 1 })
	return next
}

// dial connects to a port, which must be listened on.
func (b *bench) dial(port int) net.Conn {
	b.t.Helper()
	c, err := b.m.Dial(port)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { c.Close() })
	return c
}

// answers fails unless a connection is answered by that process, on the socket that it has as that descriptor.
func (b *bench) answers(c net.Conn, fd, pid int) {
	b.t.Helper()
	if err := c.SetDeadline(time.Now().Add(b.Patience)); err != nil {
		b.t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if want := fmt.Sprintf("%d %d\n", fd, pid); string(got) != want {
		b.t.Fatalf("the answer is %q (%v), want %q", got, err, want)
	}
}

// refused fails where somebody listens.
func (b *bench) refused(port int) {
	b.t.Helper()
	c, err := b.m.Dial(port)
	if err == nil {
		c.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		b.t.Fatalf("port %d: %v, want it refused", port, err)
	}
}

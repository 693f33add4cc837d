package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"reconciler.dev/reconciler/internal/plaintext"
	"reconciler.dev/reconciler/pkg/drivers"
)

// Conn is a connection to a host. Its methods may be called concurrently.
type Conn struct {
	target Target
	client *ssh.Client
	wire   *wire
	// root is the TCP connection of this machine's that carries this one, directly or through the jumps before. To close it is what never waits.
	root io.Closer

	done chan struct{}
	once sync.Once
	err  error // set before done is closed
}

func newConn(t Target, client *ssh.Client, w *wire, root io.Closer) *Conn {
	c := &Conn{target: t, client: client, wire: w, root: root, done: make(chan struct{})}
	go func() {
		err := client.Wait()
		c.end(unreachable(err, "%s: the connection was lost: %s", t.where(), ended(err)))
	}()
	return c
}

// Done is closed when the connection is no more.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err is nil until Done is closed, and says then why: it wraps drivers.ErrUnreachable, and net.ErrClosed after a Close.
func (c *Conn) Err() error {
	select {
	case <-c.done:
		return c.err
	default:
		return nil
	}
}

// Close ends the connection, and those of its jumps, at once. Whoever waits for one of its streams is told.
func (c *Conn) Close() error {
	c.end(unreachable(net.ErrClosed, "%s: the connection was closed", c.target.where()))
	return nil
}

func (c *Conn) end(why error) {
	c.once.Do(func() {
		c.err = why
		_ = c.root.Close() // it may be closed already
		close(c.done)
	})
}

// loss is why the connection is no more, or is about to be; nil while it is up.
func (c *Conn) loss() error {
	if c.wire.broken.Load() {
		<-c.done // whoever reads the wire is ending it
	}
	return c.Err()
}

// ErrNoSession is that a host opens no session on a connection that is up, as when it has as many as it allows (MaxSessions in its sshd_config).
var ErrNoSession = errors.New("no session")

// Open starts a command. It waits no longer than ctx and the target's ConnectTimeout. An error wraps drivers.ErrUnreachable, or ErrNoSession where the connection is up
// and the host opens no session on it, or drivers.ErrPermanent where it runs no commands.
func (c *Conn) Open(ctx context.Context, command string) (Stream, error) {
	timeout := or(c.target.ConnectTimeout, defaultTimeout)
	ctx, _, cancel := withDeadline(ctx, timeout)
	defer cancel()
	type result struct {
		s   *stream
		err error
	}
	started := make(chan result, 1)
	go func() {
		s, err := c.start(command)
		started <- result{s, err}
	}()
	select {
	case r := <-started:
		if r.err != nil {
			return nil, c.unstarted(r.err)
		}
		return r.s, nil
	case <-ctx.Done():
		go func() { // it ends with the connection at the latest
			if r := <-started; r.err == nil {
				r.s.Close()
			}
		}()
	}
	if err := stopped(ctx, "start a command on "+c.target.where()); err != nil {
		return nil, err
	}
	return nil, unreachable(errTimeout, "start a command on %s: no answer within %s", c.target.where(), timeout)
}

func (c *Conn) unstarted(err error) error {
	var open *ssh.OpenChannelError
	switch {
	case errors.As(err, &open):
		return &problem{kinds: []error{ErrNoSession, err}, text: fmt.Sprintf("start a command on %s: it opens no session (%s): it may allow fewer at once on a connection (MaxSessions in its sshd_config)",
			c.target.where(), plaintext.Line(open.Message, 200))}
	case c.loss() != nil:
		return unreachable(c.loss(), "start a command on %v", c.loss())
	case errors.Is(err, io.EOF):
		return unreachable(err, "start a command on %s: %s", c.target.where(), ended(err))
	}
	return &problem{kinds: []error{drivers.ErrPermanent, err}, text: fmt.Sprintf("start a command on %s: it runs no commands for this account: %s", c.target.where(), clean(err))}
}

// keepAlive asks for a sign of life whenever interval went by in silence, and gives the connection up once count of them did in a row. Whatever comes is such a sign, so
// a link that is used costs nothing more. It counts intervals that it saw pass, so that a machine that slept asks before it gives up.
func (c *Conn) keepAlive(interval time.Duration, count int) {
	count = max(count, 2) // nobody is given up who wasn't asked
	timer := time.NewTimer(interval)
	defer timer.Stop()
	heard, missed, asked := c.wire.last.Load(), 0, make(chan struct{}, 1)
	for {
		select {
		case <-c.done:
			return
		case <-timer.C:
		}
		if last := c.wire.last.Load(); last != heard {
			heard, missed = last, 0
			if quiet := time.Since(*last); quiet < interval {
				timer.Reset(interval - quiet)
				continue
			}
		}
		if missed++; missed >= count {
			c.end(unreachable(errTimeout, "%s: the connection was lost: no sign of life for %s", c.target.where(), time.Duration(count)*interval))
			return
		}
		select {
		case asked <- struct{}{}:
			go func() { // it ends with the answer, or with the connection
				_, _, _ = c.client.SendRequest("keepalive@openssh.com", true, nil) // an answer of any kind is heard by the wire, and so is none
				<-asked
			}()
		default: // one is on its way
		}
		timer.Reset(interval)
	}
}

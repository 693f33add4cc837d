package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"reconciler.dev/reconciler/test/labhost"
)

// bare is a Go program as plain as it goes: connections of x/crypto/ssh, and commands on them.
type bare struct {
	s       *site
	clients []*ssh.Client
}

// dialAll connects to every host.
func (s *site) dialAll(ctx context.Context) (*bare, error) {
	b := &bare{s: s, clients: make([]*ssh.Client, len(s.hosts))}
	_, err := s.each(func(i int, h *labhost.Host) (err error) {
		b.clients[i], err = s.dial(ctx, h)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (s *site) dial(ctx context.Context, h *labhost.Host) (*ssh.Client, error) {
	raw, err := h.Dial(ctx, "tcp", h.Addr+":22")
	if err != nil {
		return nil, err
	}
	conn, chans, reqs, err := ssh.NewClientConn(raw, h.Addr+":22", s.home.Client(h.Name, "root"))
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return ssh.NewClient(conn, chans, reqs), nil
}

func (b *bare) close() error {
	var errs []error
	for _, c := range b.clients {
		if c != nil {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(errs...)
}

// check is the one command that looks at all daemons of a host.
func (s *site) check(c *ssh.Client) error {
	session, err := c.NewSession()
	if err != nil {
		return err
	}
	defer session.Close()
	said, err := session.Output("systemctl is-active " + strings.Join(s.names, " "))
	if active := strings.Count(string(said), "active\n"); err != nil || active != len(s.names) {
		return fmt.Errorf("%d of %d daemons are active: %w", active, len(s.names), err)
	}
	return nil
}

// persistentFloor is one batched exec for each host on connections that are there.
func (b *bare) persistentFloor() (time.Duration, error) {
	return b.s.each(func(i int, _ *labhost.Host) error { return b.s.check(b.clients[i]) })
}

// freshFloor is a connection and one batched exec for each host.
func (s *site) freshFloor(ctx context.Context) (time.Duration, error) {
	clients := make([]io.Closer, len(s.hosts))
	took, err := s.each(func(i int, h *labhost.Host) error {
		c, err := s.dial(ctx, h)
		if err != nil {
			return err
		}
		clients[i] = c
		return s.check(c)
	})
	for _, c := range clients {
		if c != nil {
			err = errors.Join(err, c.Close())
		}
	}
	return took, err
}

// roundTripFloor is what a byte takes to a host and back, on a session that is open.
func (b *bare) roundTripFloor(n int) (took figures, err error) {
	session, err := b.clients[0].NewSession()
	if err != nil {
		return nil, err
	}
	defer session.Close()
	in, err := session.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := session.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := session.Start("cat"); err != nil {
		return nil, err
	}
	one := make([]byte, 1)
	for range n {
		t0 := time.Now()
		if _, err := in.Write(one); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(out, one); err != nil {
			return nil, err
		}
		took.took(time.Since(t0))
	}
	return took, in.Close()
}

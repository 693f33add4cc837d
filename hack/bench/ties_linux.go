package main

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/remote/link"
)

// meter counts what goes over the wire, both ways.
type meter struct{ bytes atomic.Int64 }

// dialer dials as dial does, and counts.
func (m *meter) dialer(dial func(ctx context.Context, network, address string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &metered{conn, m}, nil
	}
}

type metered struct {
	net.Conn
	m *meter
}

func (c *metered) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.m.bytes.Add(int64(n))
	return n, err
}

func (c *metered) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.m.bytes.Add(int64(n))
	return n, err
}

// ties are links to hosts with an agent at the end of each.
type ties struct {
	conns []*link.Conn
	hosts []drivers.Host
}

func (t *ties) close() error {
	var errs []error
	for _, h := range t.hosts {
		if h != nil {
			errs = append(errs, h.Close())
		}
	}
	for _, c := range t.conns {
		if c != nil {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(errs...)
}

// atOnce is how many hosts are dialled at once.
const atOnce = 16

// tie reaches hosts side by side and has the agent of each started by begin.
func tie(ctx context.Context, d *link.Dialer, targets []link.Target, begin func(ctx context.Context, c *link.Conn, name string) (drivers.Host, error)) (*ties, error) {
	t := &ties{conns: make([]*link.Conn, len(targets)), hosts: make([]drivers.Host, len(targets))}
	errs := make([]error, len(targets))
	var all sync.WaitGroup
	places := make(chan struct{}, atOnce)
	for i := range targets {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			if t.conns[i], errs[i] = d.Dial(ctx, targets[i]); errs[i] != nil {
				return
			}
			t.hosts[i], errs[i] = begin(ctx, t.conns[i], targets[i].Name)
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

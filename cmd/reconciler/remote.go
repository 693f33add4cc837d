package main

import (
	"context"
	"fmt"

	"reconciler.dev/reconciler/internal/sshconfig"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/remote/link"
)

// connectRemote opens a host behind SSH.
func connectRemote(_ context.Context, c *cli, inv *inventory, at string, _ reconcile.Options) (*session, error) {
	ways, err := inv.ways()
	if err != nil {
		return nil, err
	}
	way, err := ways.Resolve(at)
	if err != nil {
		return nil, err
	}
	c.noteWay(way.Notes)
	return nil, fmt.Errorf("reach host %s: this version can't work on hosts behind SSH yet: %w, %w", at, drivers.ErrUnsupported, drivers.ErrUnreachable)
}

// newDialer returns what connects to hosts. It asks, where it has to, whoever sits at the terminal.
func (c *cli) newDialer() *link.Dialer {
	o := link.Options{Getenv: c.getenv, Note: func(line string) { c.note("%s", line) }}
	if who := c.person(); who != nil {
		o.Ask, o.Confirm = who.secret, who.confirm
	}
	if who, _, err := sshconfig.Here(); err == nil {
		o.Home, o.User = who.Home, who.User
	}
	return link.New(o)
}

// noteWay tells what of ssh's configuration isn't done, where it matters.
func (c *cli) noteWay(notes []sshconfig.Note) {
	for _, n := range notes {
		if !n.Minor {
			c.note("Note: %v", n)
		}
	}
}

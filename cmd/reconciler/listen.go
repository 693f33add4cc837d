package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"

	"reconciler.dev/reconciler/internal/web"
	webpage "reconciler.dev/reconciler/internal/web/page" // describe has a page, too
	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/spec"
)

// showing are the flags that say where a run can be looked at.
type showing struct {
	address   string
	tokenFile string
}

func (s *showing) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.address, "listen", "", "show over HTTP how it all is: HOST:PORT, as in 127.0.0.1:9640 (port 0: one that is free), or unix:PATH; has /metrics, /sd, /healthz, /readyz and a page")
	f.StringVar(&s.tokenFile, "listen-token-file", "", "only for who has the token that is in this file; needed where others than this machine's users get to the address")
	_ = cmd.MarkFlagFilename("listen-token-file")
}

// check returns the address and the token, which may be empty. Without an address nothing is shown.
func (s showing) check() (a web.Address, token spec.Secret, err error) {
	switch {
	case s.address == "" && s.tokenFile == "":
		return a, token, nil
	case s.address == "":
		return a, token, usagef("--listen-token-file is only for --listen")
	}
	if a, err = web.ParseAddress(s.address); err != nil {
		return a, token, usagef("--listen: %w", err)
	}
	if s.tokenFile != "" {
		if token, err = web.ReadToken(s.tokenFile); err != nil {
			return a, token, &exit{exitInput, fmt.Errorf("--listen-token-file: %w", err)}
		}
	}
	if _, err = web.NewGuard(a, token); err != nil {
		return a, token, usagef("--listen: %w", err)
	}
	return a, token, nil
}

// args are the flags that say the same to a program that runs elsewhere.
func (s showing) args() ([]string, error) {
	a, _, err := s.check()
	if err != nil || s.address == "" {
		return nil, err
	}
	args := []string{"--listen", a.String()}
	if s.tokenFile == "" {
		return args, nil
	}
	file, err := filepath.Abs(s.tokenFile)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", s.tokenFile, err)
	}
	return append(args, "--listen-token-file", file), nil
}

// open begins to listen; nil where nothing is to be shown. Who connects is answered once there is something to serve.
func (s showing) open(ctx context.Context) (*overview, error) {
	a, token, err := s.check()
	if err != nil || s.address == "" {
		return nil, err
	}
	l, err := web.Listen(ctx, a)
	if err != nil {
		return nil, err
	}
	if at, tcp := l.Addr().(*net.TCPAddr); tcp {
		a.Port = at.Port // that of port 0
	}
	guard, err := web.NewGuard(a, token)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return &overview{listener: l, address: a, guard: guard, links: map[string]*shownLink{}, passed: map[string]bool{}}, nil
}

// close ends the listening. It may be called where nothing is shown.
func (v *overview) close() {
	if v != nil {
		_ = v.listener.Close()
	}
}

// serve answers until ctx ends.
func (v *overview) serve(ctx context.Context, log logr.Logger, say func(at string, p reconcile.Progress)) {
	if v == nil {
		return
	}
	say("", reconcile.Progress{Phase: "listening", Message: v.url()})
	h := web.Handlers{View: v, Loop: &v.loop, Page: webpage.Handler(v)}.Handler()
	if err := web.Serve(ctx, v.listener, v.guard.Around(h), log); ctx.Err() == nil {
		say("", reconcile.Progress{Phase: "not listening", Message: err.Error()})
	}
}

// url is where a person looks.
func (v *overview) url() string {
	if v.address.Network != "tcp" {
		return v.address.String()
	}
	return "http://" + v.address.String() + "/"
}

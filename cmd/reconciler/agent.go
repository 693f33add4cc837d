package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"os/user"
	"runtime"
	"syscall"

	"github.com/spf13/cobra"

	"reconciler.dev/reconciler/internal/doctor"
	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/remote"
	"reconciler.dev/reconciler/pkg/remote/bootstrap"
	"reconciler.dev/reconciler/pkg/spec"
)

func (c *cli) agentCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "agent", Short: "Work on this machine for a reconciler elsewhere", Hidden: true,
		Long: `Answer a reconciler elsewhere, on stdin and stdout, for this machine and this user's daemons. It is started over SSH by whoever works on this host, ends with the connection,
and keeps nothing of its own; daemons live on. See docs/agents.md for the lines of sudoers and authorized_keys that let it run and nothing else.`,
	}
	install := cmd.Flags().String("install", "", "verify that this program has that SHA-256, move it to the path given, and take away agents that nobody uses")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case *install == "" && len(args) > 0:
			return noArgs(cmd, args)
		case *install != "" && len(args) != 1:
			return usagef("--install wants the path to install this program at")
		case *install != "":
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find this program: %w", err)
			}
			return bootstrap.Install(*install, self, args[0])
		}
		return c.serve(cmd.Context())
	}
	return cmd
}

// serve answers the controller until it leaves.
func (c *cli) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// A controller that is gone breaks stdout, which would end this program within a step (os/signal, SIGPIPE). To ignore the signal would have daemons inherit that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	local := remote.Local{Facts: c.agentFacts()}
	s, err := c.connect(ctx, c, nil, "", c.looking(""))
	if err == nil {
		err = s.prepare()
	}
	if err != nil {
		local.Err = err
		return remote.Serve(ctx, c.in, c.out, local)
	}
	if self, err := os.Executable(); err == nil {
		go bootstrap.KeepInUse(ctx, self)
	}
	local.Host, local.Facts.Programs, local.Facts.Keeps = s.host, s.facts.Programs, s.facts.Keeps
	local.Calls = map[string]func(context.Context, json.RawMessage) (any, error){
		callDoctor: answering(func(ctx context.Context, wants []*spec.Daemon) (doctor.Facts, error) {
			return c.factsHere(ctx, s, wants)
		}),
		callLogPlaces: answering(func(_ context.Context, all []logged) ([]string, error) { return s.logPlaces(all), nil }),
	}
	if err = remote.Serve(ctx, c.in, c.out, local); ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil // a signal is how it ends where sshd doesn't close the stream
	}
	return err
}

// The calls that an agent answers beside those for its machine.
const (
	callDoctor    = "doctor"
	callLogPlaces = "logplaces"
)

// answering makes a call of a function.
func answering[P, R any](f func(ctx context.Context, params P) (R, error)) func(context.Context, json.RawMessage) (any, error) {
	return func(ctx context.Context, params json.RawMessage) (any, error) {
		var p P
		if err := json.Unmarshal(params, &p); err != nil {
			return nil, fmt.Errorf("read the parameters of a call: %w", err)
		}
		return f(ctx, p)
	}
}

// agentFacts are what an agent says of its machine.
func (c *cli) agentFacts() remote.Facts {
	f := remote.Facts{Version: toolVersion(), OS: runtime.GOOS, Arch: runtime.GOARCH, UID: os.Geteuid(), Home: c.getenv("HOME"), Path: layout.SearchPath(c.getenv, os.Geteuid())}
	if u, err := user.Current(); err == nil {
		f.User = u.Username
	}
	if name, err := os.Hostname(); err == nil {
		f.Hostname = name
	}
	return f
}

// logged is a daemon whose log is looked for.
type logged struct {
	Driver spec.DriverKind `json:"driver"`
	Stamp  *spec.Stamp     `json:"stamp"`
}

// logPlaces says where the output of daemons of this machine goes.
func (s *session) logPlaces(all []logged) []string {
	places := make([]string, len(all))
	for i, l := range all {
		if l.Stamp != nil {
			places[i] = s.logPlace(spec.Observed{Driver: l.Driver, Stamp: l.Stamp})
		}
	}
	return places
}

// logPlacesOf says where the output of daemons goes, wherever their machine is.
func (s *session) logPlacesOf(ctx context.Context, views []reconcile.View) []string {
	all := make([]logged, len(views))
	for i, v := range views {
		all[i] = logged{v.Observed.Driver, v.Observed.Stamp}
	}
	if s.call == nil {
		return s.logPlaces(all)
	}
	places := make([]string, len(all))
	if err := s.call(ctx, callLogPlaces, all, &places); err != nil || len(places) != len(all) {
		return make([]string, len(all)) // it isn't worth an error
	}
	return places
}

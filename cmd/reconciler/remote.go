package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"reconciler.dev/reconciler/internal/plaintext"
	"reconciler.dev/reconciler/internal/sshconfig"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/remote"
	"reconciler.dev/reconciler/pkg/remote/bootstrap"
	"reconciler.dev/reconciler/pkg/remote/link"
	"reconciler.dev/reconciler/pkg/remote/targets"
	"reconciler.dev/reconciler/pkg/spec"
)

// connectRemote opens a host behind SSH: it finds the way, connects, and starts the agent there.
func connectRemote(ctx context.Context, c *cli, inv *inventory, at string, o reconcile.Options) (*session, error) {
	ways, err := inv.ways()
	if err != nil {
		return nil, err
	}
	way, err := ways.Resolve(at)
	if err != nil {
		return nil, err
	}
	conn, err := c.controller().dialer.Dial(ctx, way.Target)
	if err != nil {
		return nil, err
	}
	declared := inv.find(way.Declared)
	host, err := c.startAgent(ctx, conn, at, way, declared)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	s := &session{host: host, lookPath: host.LookPath, facts: host.Facts(), call: host.Call, notes: way.Notes, address: way.Target.Address, prepare: func() error { return nil }, alsoClose: conn.Close}
	if declared != nil {
		o.Concurrency = declared.Spec.Concurrency
		s.host = preferring(host, declared.Spec.Driver)
	}
	s.engine = reconcile.New(s.host, o)
	return s, nil
}

// startAgent starts the agent of a host, over a connection to it.
func (c *cli) startAgent(ctx context.Context, conn *link.Conn, at string, way targets.Resolved, declared *spec.HostManifest) (*remote.Host, error) {
	o := bootstrap.Options{Host: at, Binaries: c.controller().binaries, Cache: c.controller().cache, Patience: way.Target.ConnectTimeout, Way: byHand(at, way)}
	if declared != nil {
		o.Install, o.Path, o.Sudo = bootstrap.Policy(declared.Spec.Agent.Install), declared.Spec.Agent.Path, declared.Spec.Sudo
	}
	if c.watched() {
		o.Say = func(line string) { c.note("%s%s", hostPrefix(at), line) }
	}
	var host *remote.Host
	err := bootstrap.Agent(ctx, conn, o, func(ctx context.Context, stream link.Stream) (err error) {
		host, err = remote.Connect(ctx, stream, remote.ConnectOptions{Name: at, Ping: way.Target.AliveInterval})
		return err
	})
	return host, err
}

// byHand is how ssh itself gets to a host; nil where its configuration, or the name as it is given, says that.
func byHand(at string, way targets.Resolved) *link.Target {
	t := way.Target
	if way.Declared == "" && !strings.Contains(at, ":") {
		return nil
	}
	if !t.IdentitiesOnly { // what ssh would try by itself
		t.IdentityFiles = nil
	}
	return &t
}

// controller is what all connections of a command share.
type controller struct {
	dialer   *link.Dialer
	binaries *bootstrap.Binaries
	cache    bootstrap.Cache
}

func (c *cli) newController() *controller {
	k := &controller{cache: bootstrap.Cache(c.cacheDir())}
	o := link.Options{Getenv: c.getenv, Note: func(line string) { c.note("%s", line) }}
	if who := c.person(); who != nil {
		o.Ask, o.Confirm = who.secret, who.confirm
	}
	if who, _, err := sshconfig.Here(); err == nil {
		o.Home, o.User = who.Home, who.User
	}
	k.dialer = link.New(o)
	own, err := os.Executable()
	if err != nil {
		own = "" // then there is only what the folders have
	}
	k.binaries = bootstrap.NewBinaries(own, k.cache, bootstrap.Folders(own, c.agents)...)
	return k
}

// cacheDir is where things are kept that are quicker to remember than to find out; empty for nowhere.
func (c *cli) cacheDir() string {
	if dir := c.getenv("XDG_CACHE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "reconciler")
	}
	if home := c.getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".cache", "reconciler")
	}
	return ""
}

// preferring is a host on which auto means a certain driver, where the host has it.
func preferring(h *remote.Host, kind spec.DriverKind) drivers.Host {
	if kind == "" || kind == spec.DriverAuto {
		return h
	}
	if _, err := h.Driver(kind); err != nil {
		return h
	}
	return &preference{h, kind}
}

type preference struct {
	*remote.Host
	auto spec.DriverKind
}

// Driver returns the preferred driver for auto.
func (p *preference) Driver(kind spec.DriverKind) (drivers.Driver, error) {
	if kind == "" || kind == spec.DriverAuto {
		kind = p.auto
	}
	return p.Host.Driver(kind)
}

// platform is what an agent says of its machine, for a cell of a table.
func platform(f remote.Facts) string {
	return plaintext.Line(strings.Trim(f.OS+"/"+f.Arch, "/"), 40)
}

// noteWay tells what of ssh's configuration isn't done, where it matters or all is asked for.
func (c *cli) noteWay(at string, notes []sshconfig.Note, all bool) {
	for _, n := range notes {
		if all || !n.Minor {
			c.note("%s%s", hostPrefix(at), fmt.Sprintf("Note: %v", n))
		}
	}
}

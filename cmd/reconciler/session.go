package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/internal/sshconfig"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/remote"
	"reconciler.dev/reconciler/pkg/spec"
)

// engine is what the verbs need of reconcile.Engine.
type engine interface {
	Review(ctx context.Context, wants []*spec.Daemon, p reconcile.PruneOptions) (*reconcile.Review, error)
	Apply(ctx context.Context, r *reconcile.Review, o reconcile.ApplyOptions) ([]reconcile.Item, error)
	Delete(ctx context.Context, names []string, o reconcile.DeleteOptions) ([]reconcile.Item, error)
	Stop(ctx context.Context, names []string, by string) ([]reconcile.Item, error)
	Start(ctx context.Context, names []string, o reconcile.ApplyOptions) ([]reconcile.Item, error)
	Restart(ctx context.Context, names []string, o reconcile.ApplyOptions) ([]reconcile.Item, error)
	Install(ctx context.Context, r *reconcile.Review) ([]reconcile.Item, error)
	InstallAgain(ctx context.Context, names []string) ([]reconcile.Item, error)
	Uninstall(ctx context.Context, names []string) ([]reconcile.Item, error)
	Hold(ctx context.Context, names []string, by string) ([]reconcile.Item, error)
	Release(ctx context.Context, names []string) ([]reconcile.Item, error)
	Undo(ctx context.Context, name string, revision int64, o reconcile.ApplyOptions) (reconcile.Item, error)
	Inspect(ctx context.Context, want *spec.Daemon, c spec.Candidate) (*spec.Takeover, error)
	Adopt(ctx context.Context, want *spec.Daemon, t *spec.Takeover) (reconcile.Item, error)
	Look(ctx context.Context, names ...string) ([]reconcile.View, error)
	WaitFor(ctx context.Context, names []string, met func(reconcile.View) bool) error
	Follow(ctx context.Context, names []string, yield func([]reconcile.View) bool) error
	Run(ctx context.Context, src reconcile.Source, o reconcile.RunOptions) error
	Behind() time.Duration
}

// session is an open machine: what the verbs work on.
type session struct {
	engine
	host drivers.Host
	// dirs is where this machine keeps everything; of another one it isn't known.
	dirs layout.Dirs
	// lookPath finds programs on another machine; nil on this one.
	lookPath reconcile.LookPath
	// facts are what the agent of another machine says of it, and of this one where programs are looked up; call asks it for more than a Host knows, and notes are what of ssh's configuration isn't done on the way there.
	facts remote.Facts
	call  func(ctx context.Context, method string, params, result any) error
	notes []sshconfig.Note
	// address is where another machine is reached.
	address string
	// prepare makes what the first daemon needs. Verbs that only look leave no trace on a machine.
	prepare func() error
	// alsoClose closes what the host is reached over; nil for nothing.
	alsoClose func() error
}

// close lets go of the machine. Daemons live on.
func (s *session) close() {
	_ = s.host.Close()
	if s.alsoClose != nil {
		_ = s.alsoClose()
	}
}

// dirs is where everything is kept.
func (c *cli) dirs() (layout.Dirs, error) {
	if c.stateDir == "" {
		return layout.Default(c.getenv, os.Geteuid())
	}
	root, err := filepath.Abs(c.stateDir)
	if err != nil {
		return layout.Dirs{}, fmt.Errorf("find the state directory: %w", err)
	}
	return layout.Under(root), nil
}

// connectLocal wires up this machine: the one place where drivers, host and engine are put together.
func connectLocal(c *cli, o reconcile.Options) (*session, error) {
	dirs, err := c.dirs()
	if err != nil {
		return nil, err
	}
	prefer, err := driverKinds(c.drivers)
	if err != nil {
		return nil, err
	}
	found, err := detect(candidates(), dirs, prefer)
	if err != nil {
		return nil, err
	}
	host := found.open(dirs)
	facts := remote.Facts{Home: c.getenv("HOME"), Path: layout.SearchPath(c.getenv, os.Geteuid()), Programs: dirs.Programs(), Keeps: keepsOf(dirs)}
	return &session{engine: reconcile.New(host, o), host: host, dirs: dirs, facts: facts, prepare: dirs.Make}, nil
}

// connect opens a host: this machine where at is empty.
func connect(ctx context.Context, c *cli, inv *inventory, at string, o reconcile.Options) (*session, error) {
	if at == "" {
		return connectLocal(c, o)
	}
	return connectRemote(ctx, c, inv, at, o)
}

// options are those of a verb that acts for set.
func (c *cli) options(set string, force bool) reconcile.Options {
	return reconcile.Options{Owner: spec.Owner{Set: set}, Tool: toolVersion(), Force: force, LookupEnv: os.LookupEnv, Log: c.logger()}
}

// looking are the options of a verb that changes nothing.
func (c *cli) looking(string) reconcile.Options { return c.options("", false) }

// acting are the options, by host, of a verb that changes daemons for set.
func (c *cli) acting(set string, force bool) func(at string) reconcile.Options {
	return func(at string) reconcile.Options {
		o := c.options(set, force)
		o.Report = c.progress(at)
		return o
	}
}

// look is Look for names that must be there: the error names those that aren't, and the views are of those that are.
func (s *session) look(ctx context.Context, names ...string) ([]reconcile.View, error) {
	views, err := s.Look(ctx, names...)
	if err != nil {
		return nil, err
	}
	found := views[:0:0]
	var errs []error
	for _, v := range views {
		if v.Observed.State != spec.Absent {
			found = append(found, v)
			continue
		}
		errs = append(errs, s.notFound(v.Observed))
	}
	return found, errors.Join(errs...)
}

func (s *session) notFound(o spec.Observed) error {
	if o.Foreign != "" {
		return fmt.Errorf("find daemon %s on %s: %s stands there without our stamp, so it isn't ours to speak of: %w", o.Name, s.host.Name(), o.Foreign, drivers.ErrNotFound)
	}
	return fmt.Errorf("find daemon %s on %s: %w; reconciler get lists what there is", o.Name, s.host.Name(), drivers.ErrNotFound)
}

package reconcile

import (
	"context"
	"fmt"
	"path"
	"slices"
	"sync"
	"time"

	"reconciler.dev/reconciler/pkg/spec"
)

// LookPath finds a program on a host, as spec.RemoteResolve has it.
type LookPath func(ctx context.Context, name string) (string, error)

// Reached is what a host that is reached knows, and does, for the manifests that are for it.
type Reached struct {
	// LookPath finds programs there. Nil: they stay names.
	LookPath LookPath
	// ProgramDir is where it keeps programs by their content; empty where that isn't known.
	ProgramDir string
	// Program makes there a program that nobody else can make. Nil: it can't.
	Program FindProgram
}

// For returns the part of the source that is for one host, by its name in a Placement; empty for this machine. It declares nothing for a host that no manifest names
// any more. It follows what the fleet's source loaded last, and reads only what nobody loaded yet. The host is asked for what only it knows or makes once for each change, so
// one that was lost and found again gets a source anew; while that fails the last good set is kept. For this machine nothing is asked: its at is the zero Reached.
func (s *FleetSource) For(host string, at Reached) Source {
	v := &hostSource{fleet: s, host: host, at: at, moved: make(chan struct{}, 1), every: retryLoad}
	return LastGood(v, func(err error) { s.o.Problem(host, err) })
}

// hostSource is what a fleet's manifests declare for one host.
type hostSource struct {
	fleet *FleetSource
	host  string
	at    Reached
	moved chan struct{} // the host's wants changed, or are to be tried again
	every time.Duration

	mu   sync.Mutex
	from *hostWants // that made was made of
	made []*spec.Daemon
	last lastMade
}

// Load returns what the host is to have. Its programs are looked up once for each change.
func (v *hostSource) Load(ctx context.Context) ([]*spec.Daemon, error) {
	wants, err := v.fleet.wants(ctx, v.host)
	if err != nil || wants == nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.host == "" || !wants.lookedUp() {
		return v.last.instead(wants.daemons), nil
	}
	if v.from != nil && (v.from == wants || sameWants(v.from, wants)) {
		return v.made, nil
	}
	o := v.fleet.resolveOptions(v.host)
	o.ProgramDir, o.Program = v.at.ProgramDir, v.program(ctx, wants)
	if v.at.LookPath != nil {
		o.Remote.LookPath = func(name string) (string, error) { return v.at.LookPath(ctx, name) }
	}
	ds, err := spec.Resolve(wants.placement.Daemons, o)
	if err != nil {
		time.AfterFunc(v.every, func() { signal(v.moved) })
		return nil, fmt.Errorf("find the programs of host %s: %w", v.host, err)
	}
	v.from, v.made = wants, v.last.instead(ds)
	if v.at.Program != nil {
		v.fleet.tellUnmadeOn(v.host, unmadeOf(ds))
	}
	if unmadeOf(ds) != nil {
		v.from = nil
		time.AfterFunc(v.every, func() { signal(v.moved) })
	}
	return v.made, nil
}

// program finds the programs of a load: what that found, and what the host has to make.
func (v *hostSource) program(ctx context.Context, wants *hostWants) func(*spec.Manifest, string) (*spec.Program, error) {
	return func(m *spec.Manifest, dir string) (*spec.Program, error) {
		i := slices.IndexFunc(wants.daemons, func(d *spec.Daemon) bool { return d.Name == m.Metadata.Name })
		if i < 0 || wants.daemons[i].Program == nil {
			return &spec.Program{}, nil // nobody finds programs here
		}
		if p := wants.daemons[i].Program; p.Digest != "" || p.Failed != nil || v.at.Program == nil {
			return p, nil
		}
		return v.at.Program.on(ctx, v.host)(m, dir)
	}
}

// wants are those of a host; nil where it has none.
func (s *FleetSource) wants(ctx context.Context, host string) (*hostWants, error) {
	s.mu.Lock()
	loaded, wants := s.loaded, s.hosts[host]
	s.mu.Unlock()
	if loaded {
		return wants, nil
	}
	if _, err := s.Load(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hosts[host], nil
}

// lookedUp says whether the host has to be asked where programs are, or to make some.
func (w *hostWants) lookedUp() bool {
	for _, d := range w.daemons {
		if in := d.Spec.Install; in != nil && in.Digest == "" {
			return true
		}
		if isName(d.Spec.Binary) || d.Spec.Health != nil && len(d.Spec.Health.Exec) > 0 && isName(d.Spec.Health.Exec[0]) {
			return true
		}
	}
	return false
}

// isName says whether a program is only named, and not found yet.
func isName(program string) bool { return path.Base(program) == program }

// Watch tells that the host's wants changed; Watch of the fleet's source must run for that.
func (v *hostSource) Watch(ctx context.Context, changed func()) error {
	v.fleet.watched(v, true)
	defer v.fleet.watched(v, false)
	changed()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-v.moved:
			changed()
		}
	}
}

func (s *FleetSource) watched(v *hostSource, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if on {
		s.views[v] = true
	} else {
		delete(s.views, v)
	}
}

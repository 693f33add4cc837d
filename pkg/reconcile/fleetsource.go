package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"reconciler.dev/reconciler/pkg/spec"
)

// FleetOptions say how a FleetSource reads, places and watches its manifests.
type FleetOptions struct {
	// FileOptions are those of a FileSource. Resolve is for this machine, but secrets and contents are read by it for all hosts.
	FileOptions
	// Here says which of the declared hosts and of those that spec.host names are this machine, as spec.Place asks. Nil: only localhost is.
	Here func(hosts []spec.HostManifest) (isLocal func(host string) bool, err error)
	// Choose picks those of the daemons that are wanted. Nil: all. An error leaves everything as it is.
	Choose func([]spec.Manifest) ([]spec.Manifest, error)
	// Problem is called with every new problem that keeps the manifests from being loaded, or the wants of one host from being resolved, while the last good ones
	// are kept; and with nil once it is over. host is empty where all are concerned. It must not call the source. May be nil.
	Problem func(host string, err error)
	// Unmade is called with every new reason why programs for a host can't be made, while their daemons stay as they are, and with nil once all are. host is empty for this machine. It must not
	// call the source. May be nil.
	Unmade func(host string, err error)
}

// FleetSource is what manifests declare for many hosts: read and watched once for all, placed, and handed out by host. A set that can't be loaded, for whatever
// host, changes nothing anywhere.
type FleetSource struct {
	files *manifestFiles
	o     FleetOptions

	loading sync.Mutex // one load at a time

	mu      sync.Mutex
	fleet   Fleet
	loaded  bool
	problem string
	unmade  map[string]string // as it was told, by host
	hosts   map[string]*hostWants
	views   map[*hostSource]bool // that watch
}

// Fleet is what was declared at one time. Nobody changes it.
type Fleet struct {
	// Placements are as spec.Place returns them.
	Placements []spec.Placement
	// Hosts are all that are declared, those with daemons and those without.
	Hosts []spec.HostManifest
}

// hostWants are those of one host, as far as they are known without it: programs that it has to look up are only names.
type hostWants struct {
	placement spec.Placement
	daemons   []*spec.Daemon
}

// NewFleetSource returns the source of the manifests at paths, which spec.LoadAll takes as they stand. It reads nothing yet.
func NewFleetSource(paths []string, o FleetOptions) *FleetSource {
	if o.Problem == nil {
		o.Problem = func(string, error) {}
	}
	if o.Unmade == nil {
		o.Unmade = func(string, error) {}
	}
	return &FleetSource{files: newManifestFiles(paths, o.FileOptions), o: o, unmade: map[string]string{}, views: map[*hostSource]bool{}}
}

// Load reads, places and resolves all manifests, and returns what they declare; the sources of For give that from now on. Where that fails they
// keep what they had, and so does Fleet. The error is spec.Problems with everything that is wrong.
func (s *FleetSource) Load(ctx context.Context) (Fleet, error) {
	s.loading.Lock()
	defer s.loading.Unlock()
	if err := ctx.Err(); err != nil {
		return Fleet{}, err
	}
	fleet, hosts, err := s.load(ctx)
	s.files.tryAgain(err != nil || unmadeAnywhere(hosts))
	if err != nil {
		return Fleet{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.hosts
	s.fleet, s.hosts, s.loaded = fleet, hosts, true
	for v := range s.views {
		if !sameWants(before[v.host], hosts[v.host]) {
			signal(v.moved)
		}
	}
	return fleet, nil
}

func (s *FleetSource) load(ctx context.Context) (Fleet, map[string]*hostWants, error) {
	docs, err := s.files.read()
	if err != nil {
		return Fleet{}, nil, err
	}
	isLocal := func(string) bool { return false }
	if s.o.Here != nil {
		if isLocal, err = s.o.Here(docs.Hosts); err != nil {
			return Fleet{}, nil, err
		}
	}
	daemons := docs.Daemons
	if s.o.Choose != nil {
		if daemons, err = s.o.Choose(daemons); err != nil {
			return Fleet{}, nil, err
		}
	}
	placements, err := spec.Place(daemons, docs.Hosts, isLocal)
	if err != nil {
		return Fleet{}, nil, err
	}
	hosts, err := s.resolve(ctx, placements)
	return Fleet{Placements: placements, Hosts: docs.Hosts}, hosts, err
}

// resolve makes the daemons of all hosts effective, as far as that goes without the hosts.
func (s *FleetSource) resolve(ctx context.Context, placements []spec.Placement) (map[string]*hostWants, error) {
	find, hosts := s.o.begin(), make(map[string]*hostWants, len(placements))
	var problems spec.Problems
	for _, p := range placements {
		o := s.resolveOptions(p.Host)
		o.Program = find.on(ctx, p.Host)
		daemons, err := spec.Resolve(p.Daemons, o)
		var ps spec.Problems
		if err != nil && !errors.As(err, &ps) {
			return nil, err
		}
		problems = append(problems, ps...)
		hosts[p.Host] = &hostWants{p, daemons}
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return hosts, nil
}

// resolveOptions are those for a host, as far as nothing is known of it.
func (s *FleetSource) resolveOptions(host string) spec.ResolveOptions {
	o := s.o.Resolve
	o.Remote = nil
	if host != "" {
		o.Remote, o.ProgramDir = &spec.RemoteResolve{}, ""
	}
	return o
}

// sameWants says whether a host is to have what it had, wherever in the files that stands.
func sameWants(a, b *hostWants) bool {
	if a == nil || b == nil {
		return a == b
	}
	return slices.EqualFunc(a.daemons, b.daemons, same)
}

// Fleet is what was loaded last. The zero Fleet: nothing was yet.
func (s *FleetSource) Fleet() Fleet {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fleet
}

// Watch watches all manifests, and every file that they name or build from, until ctx ends. It loads them once that is so, and after every change, which ends a load that is still under way;
// changed is called whenever that succeeded, with what there is then, and not concurrently. It can be called once at a time.
func (s *FleetSource) Watch(ctx context.Context, changed func(Fleet)) error {
	stop := func() {}
	defer func() { stop() }()
	return s.files.Watch(ctx, func() {
		stop()
		stop = aside(ctx, func(ctx context.Context) {
			fleet, err := s.Load(ctx)
			if ctx.Err() != nil {
				return
			}
			s.tell(err)
			if err == nil {
				s.tellUnmade()
				changed(fleet)
			}
		})
	})
}

// unmadeAnywhere says whether there are programs that can't be made.
func unmadeAnywhere(hosts map[string]*hostWants) bool {
	for _, h := range hosts {
		if unmadeOf(h.daemons) != nil {
			return true
		}
	}
	return false
}

// tellUnmade tells of programs that can't be made here, for whatever host.
func (s *FleetSource) tellUnmade() {
	s.mu.Lock()
	hosts := s.hosts
	s.mu.Unlock()
	for host, h := range hosts {
		s.tellUnmadeOn(host, unmadeOf(h.daemons))
	}
}

// tellUnmadeOn tells, once, of programs for a host that can't be made, and of the end of that.
func (s *FleetSource) tellUnmadeOn(host string, err error) {
	now := ""
	if err != nil {
		now = err.Error()
	}
	s.mu.Lock()
	before := s.unmade[host]
	s.unmade[host] = now
	s.mu.Unlock()
	if now != before {
		s.o.Unmade(host, err)
	}
}

// aside does something until it is done, or until the function that it returns is called, which waits for it.
func aside(ctx context.Context, do func(ctx context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer cancel()
		do(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// tell tells a new problem, and the end of one.
func (s *FleetSource) tell(err error) {
	s.mu.Lock()
	before, loaded := s.problem, s.loaded
	s.problem = ""
	if err != nil {
		s.problem = err.Error()
	}
	now := s.problem
	s.mu.Unlock()
	switch {
	case now == before:
	case err == nil:
		s.o.Problem("", nil)
	case loaded:
		s.o.Problem("", fmt.Errorf("keep the last good set, because the manifests can't be loaded: %w", err))
	default:
		s.o.Problem("", fmt.Errorf("load the manifests: %w", err))
	}
}

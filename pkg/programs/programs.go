// Package programs finds, or makes, the programs that manifests install: it has them built where that is due, and fetched and unpacked where they come from elsewhere. It is what
// spec.ResolveOptions.Program is.
//
// It decides nothing about daemons and touches none: a program that can't be made is an error, and what runs goes on running.
package programs

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"reconciler.dev/reconciler/internal/artifact"
	"reconciler.dev/reconciler/internal/build"
	"reconciler.dev/reconciler/pkg/spec"
)

// Options are what a Maker works with.
type Options struct {
	// Builder builds programs here. Shop, where it is set, is asked instead to make them, for a run.
	Builder *build.Builder
	Shop    *build.Shop
	// Cache finds programs that aren't built.
	Cache *artifact.Cache
	// Prepare is called before anything is made, as often as that happens. May be nil.
	Prepare func() error
	// Output returns where goes what the command prints that builds a daemon's program. It is called when a build begins, and closed when it has ended.
	Output func(daemon string) io.WriteCloser
	// Tell tells a person what is being done, and what was. It may be called concurrently. May be nil.
	Tell func(daemon, what string)
}

// Maker finds and makes programs. It may be used by any number of goroutines.
type Maker struct {
	o Options

	mu     sync.Mutex
	failed map[string]failure // by host and daemon
}

// New returns a Maker.
func New(o Options) *Maker {
	if o.Tell == nil {
		o.Tell = func(string, string) {}
	}
	if o.Prepare == nil {
		o.Prepare = func() error { return nil }
	}
	return &Maker{o: o, failed: map[string]failure{}}
}

// Purpose is how far a Round goes.
type Purpose int

const (
	// Look tells which programs there are, and which would have to be made, and makes none.
	Look Purpose = iota
	// Make makes those that are due.
	Make
	// Remake builds all of them, whether that is due or not.
	Remake
)

// Round finds programs for one plan, or one load of manifests: whoever asks for the same one gets the same, whatever was saved meanwhile. It may be used by any number of goroutines.
type Round struct {
	m       *Maker
	purpose Purpose

	mu    sync.Mutex
	found map[string]*finding
}

// finding is what became of one program.
type finding struct {
	done    chan struct{}
	program *spec.Program
	state   build.State
	err     error
}

// Begin begins a Round.
func (m *Maker) Begin(p Purpose) *Round {
	return &Round{m: m, purpose: p, found: map[string]*finding{}}
}

// Result says what became of the program of a daemon that is built.
type Result struct {
	Daemon string
	// Digest is that of the program, Built says that it was built just now, and Took is how long the last build took.
	Digest string
	Built  bool
	Took   time.Duration
	Err    error
}

// Build makes the program of a manifest that has a build, and says what became of it; dir is as in Find.
func (r *Round) Build(ctx context.Context, m *spec.Manifest, dir string) Result {
	f := r.find(ctx, m, dir)
	return Result{Daemon: m.Metadata.Name, Digest: f.state.Program.Digest, Built: f.state.Built, Took: f.state.Took, Err: f.err}
}

// Find finds or makes the program of a manifest with an install; dir is what its paths are relative to. A program that has to be made, in a Round that only looks, has no digest but says why; so has
// one that is built on host, which isn't this machine: There makes that.
func (r *Round) Find(ctx context.Context, host string, m *spec.Manifest, dir string) (*spec.Program, error) {
	if onHost(m, host) {
		return r.elsewhere(ctx, m, dir)
	}
	f := r.find(ctx, m, dir)
	return f.program, f.err
}

// onHost says whether a program is built on another machine.
func onHost(m *spec.Manifest, host string) bool {
	return host != "" && m.Spec.Build != nil && m.Spec.Build.On == spec.BuildOnHost
}

// find finds each program once.
func (r *Round) find(ctx context.Context, m *spec.Manifest, dir string) *finding {
	return r.once(ctx, keyOf(m, dir), func(f *finding) {
		if m.Spec.Build != nil {
			f.program, f.state, f.err = r.built(ctx, jobOf(m, dir))
		} else {
			f.program, f.err = r.fetched(ctx, sourceOf(m.Spec.Install, dir))
		}
	})
}

// once has one caller fill in what becomes of a program, and the others wait for it.
func (r *Round) once(ctx context.Context, key string, fill func(f *finding)) *finding {
	r.mu.Lock()
	f := r.found[key]
	first := f == nil
	if first {
		f = &finding{done: make(chan struct{})}
		r.found[key] = f
	}
	r.mu.Unlock()
	if first {
		defer close(f.done)
		if r.purpose != Look {
			f.err = r.m.o.Prepare()
		}
		if f.err == nil {
			fill(f)
		}
		return f
	}
	select {
	case <-f.done:
		return f
	case <-ctx.Done():
		return &finding{err: ctx.Err()}
	}
}

// keyOf is the same for manifests with the same program.
func keyOf(m *spec.Manifest, dir string) string {
	if m.Spec.Build != nil {
		j := jobOf(m, dir)
		j.Name = ""
		return fmt.Sprintf("%q", []any{j.Dir, j.Command, j.Inputs, j.Output, j.Env, j.Timeout})
	}
	return fmt.Sprintf("%q", sourceOf(m.Spec.Install, dir))
}

func jobOf(m *spec.Manifest, dir string) build.Job {
	b := m.Spec.Build
	return build.Job{
		Name: m.Metadata.Name, Dir: beside(dir, b.Dir), Command: b.Command, Inputs: b.Inputs, Output: filepath.ToSlash(filepath.Clean(b.Output)), Env: b.Env, Timeout: time.Duration(b.Timeout),
	}
}

func beside(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

func sourceOf(in *spec.Install, dir string) artifact.Source {
	s := artifact.Source{SHA256: in.SHA256, Format: string(in.ArchiveFormat())}
	if in.Archive != nil {
		s.Member = in.Archive.Member
	}
	if strings.Contains(in.From, "://") {
		s.URL = in.From
	} else {
		s.File = beside(dir, in.From)
	}
	return s
}

// built is a program that is built here.
func (r *Round) built(ctx context.Context, j build.Job) (*spec.Program, build.State, error) {
	var st build.State
	var err error
	switch {
	case r.purpose == Look:
		st, err = r.m.o.Builder.Look(ctx, j)
	case r.m.o.Shop != nil:
		st, err = r.m.o.Shop.Get(ctx, j, &printing{m: r.m, j: j})
	default:
		out := &printing{m: r.m, j: j}
		defer out.close()
		st, err = r.m.o.Builder.Build(ctx, j, r.purpose == Remake, out)
	}
	if err != nil {
		return nil, st, err
	}
	p := &spec.Program{Build: st.Digest, Stale: st.Due}
	if st.Due == "" {
		p.Digest, p.Size, p.Open = st.Program.Digest, st.Program.Size, opener(st.Program.Path)
	}
	if st.Built {
		r.m.o.Tell(j.Name, fmt.Sprintf("built %s in %s", j.Output, st.Took.Round(time.Millisecond)))
	}
	return p, st, nil
}

// fetched is a program that comes from a file or a URL.
func (r *Round) fetched(ctx context.Context, s artifact.Source) (*spec.Program, error) {
	get := r.m.o.Cache.Get
	if r.purpose == Look {
		get = r.m.o.Cache.Look
	}
	p, err := get(ctx, s)
	if err != nil {
		return nil, err
	}
	found := &spec.Program{Digest: p.Digest, Size: p.Size}
	switch {
	case p.Path != "":
		found.Open = opener(p.Path)
	case p.Digest == "":
		found.Stale = p.Missing
	}
	return found, nil
}

func opener(path string) func() (io.ReadSeekCloser, error) {
	return func() (io.ReadSeekCloser, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("read the program: %w", err)
		}
		return f, nil
	}
}

// printing passes on what a build prints. The person hears that it began before the first of it, and nothing of a build that wasn't due.
type printing struct {
	m   *Maker
	j   build.Job
	out io.WriteCloser
}

// Write is called by one goroutine at a time.
func (p *printing) Write(b []byte) (int, error) {
	if p.out == nil {
		if p.m.o.Output == nil {
			return len(b), nil
		}
		p.out = p.m.o.Output(p.j.Name)
	}
	return p.out.Write(b)
}

func (p *printing) close() {
	if p.out != nil {
		_ = p.out.Close() // it is an aid to people
	}
}

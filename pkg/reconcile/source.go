package reconcile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"reconciler.dev/reconciler/internal/filewatch"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

// FileOptions say how a FileSource reads and watches its manifests.
type FileOptions struct {
	Load spec.LoadOptions
	// Resolve is for this machine. Its Program is not looked at: see Programs.
	Resolve spec.ResolveOptions
	// Programs begins a load: what it returns finds, or makes, the programs of that load's manifests. It may take as long as it takes; a newer save ends its context. Nil leaves out which
	// programs are installed.
	Programs func() FindProgram
	// Report is told why changes are seen later than they could be, as where the kernel can't watch a file. May be nil.
	Report func(error)
}

// FindProgram finds, or makes, the program of a manifest that is for host; dir is what its paths are relative to. Program.Digest is empty where only the host can make it.
type FindProgram func(ctx context.Context, host string, m *spec.Manifest, dir string) (*spec.Program, error)

// on is the finder of programs for one host, as spec.ResolveOptions has it; nil where there is none. A program that can't be made is no error there: see spec.Program.Failed.
func (f FindProgram) on(ctx context.Context, host string) func(*spec.Manifest, string) (*spec.Program, error) {
	if f == nil {
		return nil
	}
	return func(m *spec.Manifest, dir string) (*spec.Program, error) {
		p, err := f(ctx, host, m, dir)
		if err != nil && ctx.Err() == nil && !errors.Is(err, drivers.ErrUnreachable) {
			return &spec.Program{Failed: fmt.Errorf("%s: %w", m.Source(), err)}, nil
		}
		return p, err
	}
}

// begin is Programs where there is one.
func (o *FileOptions) begin() FindProgram {
	if o.Programs == nil {
		return nil
	}
	return o.Programs()
}

// retryLoad is how soon a set that couldn't be loaded is tried again though no file seems to have changed: what is missing, a binary for
// one, need not be among the files that are watched.
const retryLoad = 15 * time.Second

// maxStdin is more than spec.Load accepts.
const maxStdin = 64 << 20

// FileSource is the set that manifests in files and folders declare for this machine.
type FileSource struct{ *manifestFiles }

// NewFileSource returns the source of the manifests at paths, which spec.Load takes as they stand. It reads nothing yet.
func NewFileSource(paths []string, o FileOptions) *FileSource {
	return &FileSource{newManifestFiles(paths, o)}
}

// Load reads and resolves all manifests. The error is spec.Problems with everything that is wrong with any of them. Standard input is read
// once, and stays what it was.
func (s *FileSource) Load(ctx context.Context) ([]*spec.Daemon, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	docs, err := s.read()
	var ds []*spec.Daemon
	if err == nil {
		o := s.o.Resolve
		o.Program = s.o.begin().on(ctx, "")
		ds, err = spec.Resolve(docs.Daemons, o)
	}
	s.tryAgain(err != nil || unmadeOf(ds) != nil)
	return ds, err
}

// manifestFiles reads and watches manifests in files and folders.
type manifestFiles struct {
	paths []string
	o     FileOptions
	watch *filewatch.Watcher
	every time.Duration // retryLoad

	mu       sync.Mutex
	stdin    []byte // what "-" is, once it was read
	watching bool
	retry    *time.Timer // pokes watch after a failed load
}

func newManifestFiles(paths []string, o FileOptions) *manifestFiles {
	o.Resolve.Program = nil
	o.Load.Resolve = &o.Resolve
	roots := append(slices.DeleteFunc(slices.Clone(paths), isStdin), o.Load.Hosts...)
	return &manifestFiles{paths: paths, o: o, every: retryLoad, watch: filewatch.New(filewatch.Options{
		Roots: roots, Recursive: o.Load.Recursive, Match: spec.IsManifestName, Report: o.Report,
	})}
}

func isStdin(path string) bool { return path == "-" }

// read reads all documents. Sources without any daemon are a problem: a run would take that for "nothing is wanted".
func (s *manifestFiles) read() (spec.Documents, error) {
	o := s.o.Load
	if slices.ContainsFunc(s.paths, isStdin) {
		in, err := s.readStdin()
		if err != nil {
			return spec.Documents{}, err
		}
		o.Stdin = bytes.NewReader(in)
	}
	docs, err := spec.LoadAll(s.paths, o)
	if err != nil {
		return docs, err // and what the last good manifests name stays watched
	}
	if len(docs.Daemons) == 0 {
		return docs, spec.Problems{{File: strings.Join(s.paths, ", "), Message: "there are hosts in here, and no daemon"}}
	}
	s.watch.SetFiles(named(docs.Daemons), nil)
	s.watch.SetTrees(sources(docs.Daemons))
	return docs, nil
}

func (s *manifestFiles) readStdin() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stdin == nil && s.o.Load.Stdin != nil {
		in, err := io.ReadAll(io.LimitReader(s.o.Load.Stdin, maxStdin))
		if err != nil {
			return nil, fmt.Errorf("read manifests from stdin: %w", err)
		}
		s.stdin = in
	}
	return s.stdin, nil
}

// beside is where a path of a manifest leads.
func beside(m *spec.Manifest, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(m.File), path)
}

// named lists the files that manifests name: config files, secrets and programs.
func named(ms []spec.Manifest) []string {
	var files []string
	for _, m := range ms {
		add := func(path string) {
			if path != "" {
				files = append(files, beside(&m, path))
			}
		}
		if in := m.Spec.Install; in != nil && !strings.Contains(in.From, "://") {
			add(in.From)
		}
		for _, f := range m.Spec.Files {
			add(f.From)
		}
		for _, e := range m.Spec.Env {
			add(e.FromFile)
		}
	}
	return files
}

// sources are the trees that programs are built from.
func sources(ms []spec.Manifest) []filewatch.Tree {
	var trees []filewatch.Tree
	for _, m := range ms {
		if b := m.Spec.Build; b != nil {
			trees = append(trees, filewatch.Tree{Dir: beside(&m, b.Dir), Patterns: b.Inputs, But: b.Output})
		}
	}
	return trees
}

// tryAgain arms the retry of a failed load, as long as somebody watches, or ends it.
func (s *manifestFiles) tryAgain(failed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.retry != nil {
		s.retry.Stop()
		s.retry = nil
	}
	if failed && s.watching {
		s.retry = time.AfterFunc(s.every, s.watch.Poke)
	}
}

// Watch watches the manifests, the folders that they are in, and every file that they name. Changes within a tenth of a second are told as
// one. While Load fails it is asked for again from time to time.
func (s *manifestFiles) Watch(ctx context.Context, changed func()) error {
	s.setWatching(true)
	defer s.setWatching(false)
	return s.watch.Run(ctx, changed)
}

func (s *manifestFiles) setWatching(on bool) {
	s.mu.Lock()
	s.watching = on
	s.mu.Unlock()
	if !on {
		s.tryAgain(false)
	}
}

// LastGood is a source that keeps what it loaded last when the source below can't be loaded: a broken manifest changes nothing. Before the
// first success an error is returned as it is. report is called with every new problem, and with nil once it is over; it must not call the
// source.
func LastGood(src Source, report func(error)) Source {
	return &lastGood{Source: src, report: report}
}

type lastGood struct {
	Source
	report func(error)

	mu      sync.Mutex
	good    []*spec.Daemon
	loaded  bool
	problem string // that was reported last; empty: none
}

func (l *lastGood) Load(ctx context.Context) ([]*spec.Daemon, error) {
	ds, err := l.Source.Load(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		l.good, l.loaded = ds, true
		if l.problem != "" {
			l.problem = ""
			l.report(nil)
		}
	case !l.loaded || ctx.Err() != nil:
		return nil, err
	case err.Error() != l.problem:
		l.problem = err.Error()
		l.report(fmt.Errorf("keep the last good set (%d: %s), because the manifests can't be loaded: %w", len(l.good), some(l.good), err))
	}
	return l.good, nil
}

// some names a few daemons.
func some(ds []*spec.Daemon) string {
	all := make([]string, len(ds))
	for i, d := range ds {
		all[i] = d.Name
	}
	return brief(all)
}

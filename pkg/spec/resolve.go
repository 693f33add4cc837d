package spec

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

const (
	maxContent = 1 << 20  // bytes of a config file
	maxSecret  = 64 << 10 // bytes of a secret
)

// ResolveOptions are what Resolve takes from the environment of the caller.
type ResolveOptions struct {
	// LookupEnv answers fromEnv, as os.LookupEnv does. Nil: no variable is set. It may be called concurrently.
	LookupEnv func(name string) (string, bool)
	// Path is where binaries without a slash are looked up, as in $PATH. Relative folders in it are skipped.
	Path string
}

// Resolve makes manifests effective: it finds binaries, reads secrets and the contents of config files, and digests the result. It reads files and changes
// nothing. The daemons are in the order of the manifests; the error is Problems with everything that is missing, and there are no daemons then.
//
// A binary without a slash is looked up in Path and then beside the manifest, one with a slash beside the manifest; an absolute one is
// taken as it stands, for it need not exist here but where it runs. The command of health.exec is found in the same way.
func Resolve(ms []Manifest, o ResolveOptions) ([]*Daemon, error) {
	finder := finder{path: filepath.SplitList(o.Path)}
	daemons, problems := make([]*Daemon, len(ms)), make([]Problems, len(ms))
	inParallel(len(ms), func(i int) {
		r := resolver{m: &ms[i], o: o, finder: &finder}
		daemons[i], problems[i] = r.daemon()
	})
	var all Problems
	for _, ps := range problems {
		all = append(all, ps...)
	}
	if err := all.err(); err != nil {
		return nil, err
	}
	return daemons, nil
}

// resolver makes one manifest effective.
type resolver struct {
	m        *Manifest
	o        ResolveOptions
	finder   *finder
	d        *Daemon
	problems Problems
}

func (r *resolver) bad(field, format string, args ...any) {
	r.problems = r.m.complain(r.problems, field, format, args...)
}

func (r *resolver) daemon() (*Daemon, Problems) {
	r.d = &Daemon{Metadata: r.m.Metadata, Spec: r.m.Spec, Source: r.m.Source()}
	s := &r.d.Spec
	s.Host = "" // Validate let nothing else than this machine pass
	s.Binary = r.program("spec.binary", s.Binary)
	if s.Health != nil && len(s.Health.Exec) > 0 {
		h := *s.Health
		h.Exec = append([]string{}, h.Exec...)
		h.Exec[0] = r.program("spec.health.exec[0]", h.Exec[0])
		s.Health = &h
	}
	r.secrets()
	r.contents()
	if len(r.problems) == 0 {
		r.d.Digest = Digest(r.d.Metadata, r.d.Spec)
	}
	return r.d, r.problems
}

func (r *resolver) program(field, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	dir, err := r.dir()
	if err != nil {
		r.bad(field, "%v", err)
		return name
	}
	found, err := r.finder.find(name, dir)
	if err != nil {
		r.bad(field, "%v", err)
	}
	return found
}

// dir is the folder that the manifest's paths are relative to: its own, or the working directory for stdin.
func (r *resolver) dir() (string, error) {
	if filepath.IsAbs(r.m.File) {
		return filepath.Dir(r.m.File), nil
	}
	cwd, err := r.finder.cwd()
	return filepath.Join(cwd, filepath.Dir(r.m.File)), err
}

// path makes a path absolute that may be relative to the manifest.
func (r *resolver) path(p string) (string, error) {
	if filepath.IsAbs(p) {
		return p, nil
	}
	dir, err := r.dir()
	return filepath.Join(dir, p), err
}

func (r *resolver) secrets() {
	if plainEnv(r.m.Spec.Env) {
		return
	}
	r.d.Secrets, r.d.Spec.Env = map[string]Secret{}, cloneEnv(r.m.Spec.Env)
	for _, name := range secretNames(r.m.Spec.Env) {
		e := r.m.Spec.Env[name]
		if e.FromFile != "" {
			path, err := r.path(e.FromFile)
			if err != nil {
				r.bad("spec.env["+name+"]", "%v", err)
				continue
			}
			e.FromFile = path
		}
		value, err := readSecret(e, r.o.LookupEnv)
		if err != nil {
			r.bad("spec.env["+name+"]", "%v", err)
			continue
		}
		r.d.keepSecret(name, e, value)
	}
}

func (r *resolver) contents() {
	if len(r.m.Spec.Files) == 0 {
		return
	}
	r.d.Spec.Files, r.d.Contents = nil, map[string][]byte{}
	for i, f := range r.m.Spec.Files {
		content, err := r.content(f)
		if err != nil {
			r.bad(fmt.Sprintf("spec.files[%d].from", i), "%v", err)
		}
		f.Content, f.From, f.Digest = nil, "", digestOf(content)
		r.d.Spec.Files = append(r.d.Spec.Files, f)
		r.d.Contents[f.Digest] = content
	}
}

func (r *resolver) content(f File) ([]byte, error) {
	if f.Content != nil {
		return []byte(*f.Content), nil
	}
	path, err := r.path(f.From)
	if err != nil {
		return nil, err
	}
	return readRegular(path, maxContent)
}

// readRegular reads a file that must be one, and not a pipe or a device that might never end.
func readRegular(path string, limit int) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, innermost(err))
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read %s: this is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, innermost(err))
	}
	defer f.Close()
	b, err := readAtMost(f, limit)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, innermost(err))
	}
	return b, nil
}

// innermost is an error of the file system without operation and path.
func innermost(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// finder looks programs up. It remembers the answers for as long as one Resolve takes.
type finder struct {
	path  []string
	known sync.Map // name and folder to found
	getwd sync.Once
	wd    string
	wdErr error
}

type answer struct {
	path string
	err  error
}

func (f *finder) cwd() (string, error) {
	f.getwd.Do(func() { f.wd, f.wdErr = os.Getwd() })
	return f.wd, f.wdErr
}

func (f *finder) find(name, dir string) (string, error) {
	key := name + "\x00" + dir
	if known, ok := f.known.Load(key); ok {
		return known.(answer).path, known.(answer).err
	}
	path, err := f.lookup(name, dir)
	f.known.Store(key, answer{path, err})
	return path, err
}

func (f *finder) lookup(name, dir string) (string, error) {
	var candidates []string
	if !strings.Contains(name, "/") {
		for _, p := range f.path {
			if filepath.IsAbs(p) {
				candidates = append(candidates, filepath.Join(p, name))
			}
		}
	}
	candidates = append(candidates, filepath.Join(dir, name))
	var present string
	for _, c := range candidates {
		info, err := os.Stat(c)
		if err != nil || info.IsDir() {
			continue
		}
		if isProgram(info) {
			return c, nil
		}
		present = c
	}
	if present != "" {
		return name, fmt.Errorf("%q is not executable: %s is there, but lacks the permission (chmod +x)", name, present)
	}
	return name, fmt.Errorf("%q is not found: looked for %s", name, strings.Join(candidates, ", "))
}

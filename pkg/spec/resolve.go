package spec

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
	// Program finds, or makes, the program of a manifest with an install; dir is what its paths are relative to. It is called once for each such manifest, from any
	// goroutine. Nil leaves out which program it is, for a check.
	Program func(m *Manifest, dir string) (*Program, error)
	// ProgramDir is where the daemons' host keeps programs by their content; empty where that isn't known, and such a program stays a name.
	ProgramDir string
	// Remote is set for daemons of another machine: programs are looked up there. Secrets and contents are read here all the same.
	Remote *RemoteResolve
}

// RemoteResolve is what Resolve takes from another machine.
type RemoteResolve struct {
	// LookPath finds a program there by its name, which has no slash, and returns its absolute path. Where there is none the error is fs.ErrNotExist; with any
	// other error it isn't known, and Resolve ends with that error. Nil leaves such names as they are, for a check without contact. It may be called
	// concurrently, and is called once for each name.
	LookPath func(name string) (string, error)
}

// Resolve makes manifests effective: it finds binaries, reads secrets and the contents of config files, and digests the result. It reads files and changes
// nothing. The daemons are in the order of the manifests; the error is Problems with everything that is missing, and there are no daemons then.
//
// A binary without a slash is looked up in Path and then beside the manifest, where Cargo puts what it builds first, one with a slash beside the manifest; an absolute one is
// taken as it stands, for it need not exist here but where it runs. The command of health.exec is found in the same way. With Remote there is nothing beside the
// manifest: relative paths of programs are problems.
//
// spec.host and spec.hostSelector are cleared: where a daemon runs is no part of what it is. A manifest for another machine is a problem without Remote.
func Resolve(ms []Manifest, o ResolveOptions) ([]*Daemon, error) {
	return resolve(ms, o, false)
}

// resolve is Resolve. With apart, manifests that may be for another machine are looked at without their programs.
func resolve(ms []Manifest, o ResolveOptions, apart bool) ([]*Daemon, error) {
	finder := finder{path: filepath.SplitList(o.Path), remote: o.Remote}
	daemons, problems := make([]*Daemon, len(ms)), make([]Problems, len(ms))
	inParallel(len(ms), func(i int) {
		r := resolver{m: &ms[i], o: o, finder: &finder, apart: apart && ms[i].mayBeElsewhere()}
		daemons[i], problems[i] = r.daemon()
	})
	var all Problems
	for _, ps := range problems {
		all = append(all, ps...)
	}
	if err := finder.unknown(); err != nil {
		return nil, err
	}
	if err := all.err(); err != nil {
		return nil, err
	}
	return daemons, nil
}

// mayBeElsewhere says whether a manifest isn't surely for this machine.
func (m *Manifest) mayBeElsewhere() bool {
	return m.Spec.HostSelector != nil || m.Spec.Host != "" && !isLoopback(m.Spec.Host)
}

// resolver makes one manifest effective.
type resolver struct {
	m        *Manifest
	o        ResolveOptions
	finder   *finder
	apart    bool // programs are left as they are
	d        *Daemon
	problems Problems
}

func (r *resolver) bad(field, format string, args ...any) {
	r.problems = r.m.complain(r.problems, field, format, args...)
}

func (r *resolver) daemon() (*Daemon, Problems) {
	r.d = &Daemon{Metadata: r.m.Metadata, Spec: r.m.Spec, Source: r.m.Source()}
	s := &r.d.Spec
	s.Host, s.HostSelector = "", nil
	if r.o.Remote == nil && !r.apart && r.m.mayBeElsewhere() {
		r.elsewhere()
	}
	r.install()
	if s.Install == nil {
		s.Binary = r.program("spec.binary", s.Binary)
	}
	if s.Health != nil && len(s.Health.Exec) > 0 {
		h := *s.Health
		h.Exec = slices.Clone(h.Exec)
		h.Exec[0] = r.program("spec.health.exec[0]", h.Exec[0])
		s.Health = &h
	}
	if s.Reload != nil && len(s.Reload.Exec) > 0 {
		rl := *s.Reload
		rl.Exec = slices.Clone(rl.Exec)
		rl.Exec[0] = r.program("spec.reload.exec[0]", rl.Exec[0])
		s.Reload = &rl
	}
	r.secrets()
	r.contents()
	if len(r.problems) == 0 {
		r.d.Digest = Digest(r.d.Metadata, r.d.Spec)
	}
	return r.d, r.problems
}

// elsewhere keeps a daemon from running on the wrong machine.
func (r *resolver) elsewhere() {
	if r.m.Spec.HostSelector != nil {
		r.bad("spec.hostSelector", "this is for the hosts that it chooses, and here is one machine only")
		return
	}
	r.bad("spec.host", "%s is another machine, to which there is no connection here", r.m.Spec.Host)
}

// dir is the folder that the manifest's paths are relative to: its own, or the working directory for stdin.
func (r *resolver) dir() (string, error) {
	return folderOf(r.m.File, r.finder.cwd)
}

// folderOf is the absolute folder of a file as the user gave it; of stdin, the working directory.
func folderOf(file string, getwd func() (string, error)) (string, error) {
	if filepath.IsAbs(file) {
		return filepath.Dir(file), nil
	}
	cwd, err := getwd()
	return filepath.Join(cwd, filepath.Dir(file)), err
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

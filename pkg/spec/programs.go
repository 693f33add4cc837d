package spec

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

func (r *resolver) program(field, name string) string {
	switch {
	case r.apart || name == "":
		return name
	case r.o.Remote != nil:
		return r.remoteProgram(field, name)
	case filepath.IsAbs(name):
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

// remoteProgram finds a program on another machine.
func (r *resolver) remoteProgram(field, name string) string {
	switch {
	case isAbsoluteSomewhere(name):
		return name
	case strings.ContainsAny(name, `/\`):
		r.bad(field, "%q is relative, and on %s there is nothing beside this manifest: write the absolute path that it has there, or a name that is looked up in PATH there",
			name, hostName(r.m.Spec.Host))
		return name
	}
	if r.o.Remote.LookPath == nil {
		return name
	}
	found, err := r.finder.find(name, "")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.bad(field, "%q is not found on %s: %v", name, hostName(r.m.Spec.Host), err)
		return name
	case err != nil:
		return name // and Resolve ends with that
	case !isAbsoluteSomewhere(found):
		r.bad(field, "%q is found on %s as %q, which is no absolute path", name, hostName(r.m.Spec.Host), found)
	}
	return found
}

// isAbsoluteSomewhere says whether a path is absolute on Unix or on Windows, whatever this machine is.
func isAbsoluteSomewhere(p string) bool {
	drive := len(p) > 2 && isAlphanumeric(p[0]) && p[1] == ':' && (p[2] == '\\' || p[2] == '/')
	return strings.HasPrefix(p, "/") || drive
}

// finder looks programs up, each once. It remembers the answers for as long as one Resolve takes.
type finder struct {
	path   []string
	remote *RemoteResolve
	known  sync.Map // name and folder to *answer
	getwd  sync.Once
	wd     string
	wdErr  error
}

// answer is what is known of one program.
type answer struct {
	once sync.Once
	path string
	err  error
}

func (f *finder) cwd() (string, error) {
	f.getwd.Do(func() { f.wd, f.wdErr = os.Getwd() })
	return f.wd, f.wdErr
}

// find finds a program, here from a folder or on the other machine.
func (f *finder) find(name, dir string) (string, error) {
	known, _ := f.known.LoadOrStore(name+"\x00"+dir, &answer{})
	a := known.(*answer)
	a.once.Do(func() {
		switch {
		case f.remote == nil:
			a.path, a.err = f.lookup(name, dir)
		default:
			a.path, a.err = f.remote.LookPath(name)
		}
	})
	return a.path, a.err
}

// unknown is an error for which it isn't known whether a program is there; nil where there is none.
func (f *finder) unknown() error {
	var out error
	f.known.Range(func(_, v any) bool {
		if a := v.(*answer); f.remote != nil && a.err != nil && !errors.Is(a.err, fs.ErrNotExist) {
			out = a.err
		}
		return out == nil
	})
	return out
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
	if !strings.Contains(name, "/") {
		for _, built := range []string{"release", "debug"} {
			candidates = append(candidates, filepath.Join(dir, "target", built, name))
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

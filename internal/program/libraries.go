package program

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Libraries says which shared library of a program, or of a library of it, its loader wouldn't find: see ld.so(8). It knows the loaders of glibc and musl, and finds nothing where
// the program has another.
func (o Options) Libraries(path string) string {
	f, err := os.Open(o.at(path))
	if err != nil {
		return ""
	}
	defer f.Close()
	im, err := imageOf(f)
	if err != nil || im.loader == "" || len(im.needed) == 0 {
		return ""
	}
	l := &loader{Options: o, root: im, have: map[string]bool{}}
	switch base := filepath.Base(im.loader); {
	case strings.HasPrefix(base, "ld-linux") || strings.HasPrefix(base, "ld64.so"):
		l.cache = o.loaderCache()
		l.standard = o.glibcFolders(im.loader)
	case strings.HasPrefix(base, "ld-musl-"):
		l.musl = true
		l.standard = o.muslFolders(base)
	default:
		return ""
	}
	real := path
	if o.As != "" {
		real = o.As
	} else if r, err := filepath.EvalSymlinks(o.at(path)); err == nil {
		real = strings.TrimPrefix(r, filepath.Clean(o.Root))
	}
	l.have[filepath.Base(im.loader)] = true
	l.queue = []object{{path: real, image: im}}
	for n := 0; n < len(l.queue) && n < mostLibraries; n++ {
		if found := l.object(l.queue[n]); found != "" {
			return found
		}
	}
	return ""
}

// mostLibraries is how many libraries of one program are looked at.
const mostLibraries = 2000

// loader does what a program loader does to find libraries, without loading any.
type loader struct {
	Options
	root     *image
	musl     bool
	standard []string            // where it looks last
	cache    map[string][]string // what ld.so.cache has, by name
	have     map[string]bool     // names that are found
	queue    []object
}

// object is a program or a library, and what it was loaded for.
type object struct {
	path  string
	image *image
	from  *object
}

// object finds what one object needs.
func (l *loader) object(ob object) string {
	for _, name := range ob.image.needed {
		if l.have[name] || l.musl && muslItself(name) {
			continue
		}
		found, im := l.find(ob, name)
		if im == nil {
			return fmt.Sprintf("its shared library %q%s is missing: install the package that has it", name, neededBy(ob))
		}
		l.have[name] = true
		if im.soname != "" {
			l.have[im.soname] = true
		}
		l.queue = append(l.queue, object{path: found, image: im, from: &ob})
	}
	return ""
}

// neededBy says which library needs one, where that isn't the program itself.
func neededBy(ob object) string {
	if ob.from == nil {
		return ""
	}
	return ", which " + ob.path + " needs,"
}

// find looks for a library where the loader would.
func (l *loader) find(ob object, name string) (string, *image) {
	if strings.Contains(name, "/") {
		return l.take(expandOrigin(name, ob))
	}
	for _, dir := range l.folders(ob) {
		if path, im := l.take(filepath.Join(dir, name)); im != nil {
			return path, im
		}
	}
	for _, path := range l.cache[name] {
		if path, im := l.take(path); im != nil {
			return path, im
		}
	}
	for _, dir := range l.standard {
		if path, im := l.take(filepath.Join(dir, name)); im != nil {
			return path, im
		}
	}
	return "", nil
}

// folders are those that an object, and those that it was loaded for, say, with LD_LIBRARY_PATH between.
func (l *loader) folders(ob object) (dirs []string) {
	if !ob.image.hasRunpath {
		for up := &ob; up != nil; up = up.from {
			if !up.image.hasRunpath {
				dirs = append(dirs, l.expand(up.image.rpath, *up)...)
			}
		}
	}
	dirs = append(dirs, l.LibraryPath...)
	dirs = append(dirs, l.expand(ob.image.runpath, ob)...)
	if l.musl {
		for up := ob.from; up != nil; up = up.from {
			dirs = append(dirs, l.expand(slices.Concat(up.image.runpath, up.image.rpath), *up)...)
		}
	}
	return dirs
}

func (l *loader) expand(paths []string, ob object) (dirs []string) {
	for _, p := range paths {
		p = expandOrigin(p, ob)
		for _, token := range []string{"$LIB", "${LIB}"} {
			if strings.Contains(p, token) {
				dirs = append(dirs, strings.ReplaceAll(p, token, "lib64"), strings.ReplaceAll(p, token, "lib/"+multiarch(l.root.machine)))
				p = strings.ReplaceAll(p, token, "lib")
			}
		}
		dirs = append(dirs, p)
	}
	return dirs
}

func expandOrigin(p string, ob object) string {
	dir := filepath.Dir(ob.path)
	return strings.ReplaceAll(strings.ReplaceAll(p, "${ORIGIN}", dir), "$ORIGIN", dir)
}

// take accepts a library of the program's kind.
func (l *loader) take(path string) (string, *image) {
	f, err := os.Open(l.at(path))
	if err != nil {
		return "", nil
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return "", nil
	}
	im, err := imageOf(f)
	if err != nil || im.machine != l.root.machine || im.wide != l.root.wide {
		return "", nil
	}
	return path, im
}

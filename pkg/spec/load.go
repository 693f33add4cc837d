package spec

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// LoadOptions say how Load reads its sources.
type LoadOptions struct {
	// Recursive reads the folders in a folder too.
	Recursive bool
	// Stdin is what the source "-" reads. Nil: os.Stdin.
	Stdin io.Reader
	// Resolve, where it is set, has what Resolve would find wrong with the sound manifests told together with what is wrong with the others.
	Resolve *ResolveOptions
}

// stdinName is what stands for a file's path where a manifest was read from stdin.
const stdinName = "stdin"

// LoadAll reads manifests from files, folders and "-", which is stdin, strictly as ParseAll does, in the order of the sources and in a folder in the
// order of the names. A folder's manifests are its files that end in .yaml, .yml or .json; names that begin with a dot or end in ~ are skipped. A file that is
// named twice is read once.
//
// The error is Problems with everything that is wrong in any of them, and there are no documents then. No document at all is a problem too, so that an empty
// folder is never mistaken for the wish to run nothing.
func LoadAll(sources []string, o LoadOptions) (Documents, error) {
	all, err := loadAll(sources, o)
	if err == nil && len(all.Daemons)+len(all.Hosts) == 0 {
		err = nothing(sources, "there is no manifest in here")
	}
	if err != nil {
		return Documents{}, err
	}
	return all, nil
}

// Load is LoadAll for the manifests of daemons. Those of hosts are checked, and left out; where there are no others, that is a problem.
func Load(sources []string, o LoadOptions) ([]Manifest, error) {
	all, err := loadAll(sources, o)
	switch {
	case err != nil:
	case len(all.Daemons) == 0 && len(all.Hosts) > 0:
		err = nothing(sources, "there is no daemon in here, but hosts for some")
	case len(all.Daemons) == 0:
		err = nothing(sources, "there is no manifest in here")
	}
	if err != nil {
		return nil, err
	}
	return all.Daemons, nil
}

func nothing(sources []string, message string) error {
	return Problems{{File: strings.Join(sources, ", "), Message: message}}
}

func loadAll(sources []string, o LoadOptions) (Documents, error) {
	files, ps := expand(sources, o)
	results := make([]parsed, len(files))
	inParallel(len(files), func(i int) { results[i] = loadFile(files[i], o.Stdin) })
	all := gather(results)
	ps = append(ps, all.problems...)
	ps = append(ps, checkSet(all.Documents)...)
	if len(ps) > 0 {
		ps = append(ps, unresolved(all.Daemons, o.Resolve)...)
		ps = ps.inOrder(append(files, stdinName))
	}
	return all.Documents, ps.err()
}

// unresolved is what Resolve finds wrong with those manifests that are sound.
func unresolved(ms []Manifest, o *ResolveOptions) Problems {
	if o == nil {
		return nil
	}
	ms = slices.DeleteFunc(slices.Clone(ms), func(m Manifest) bool { return m.broken })
	var ps Problems
	_, err := resolve(ms, *o, true)
	errors.As(err, &ps)
	return ps
}

// expand lists the files of sources, each once.
func expand(sources []string, o LoadOptions) ([]string, Problems) {
	var files []string
	var ps Problems
	seen := map[string]bool{}
	for _, source := range sources {
		found, err := sourceFiles(source, o.Recursive)
		if err != nil {
			ps = append(ps, Problem{File: source, Message: err.Error()})
		}
		for _, f := range found {
			id := f
			if abs, err := filepath.Abs(f); err == nil && f != "-" {
				id = abs
			}
			if !seen[id] {
				seen[id] = true
				files = append(files, f)
			}
		}
	}
	if len(sources) == 0 {
		ps = append(ps, Problem{Message: "no manifest is named: say -f FILE, -f FOLDER or -f -"})
	}
	return files, ps
}

// sourceFiles lists the files of one source.
func sourceFiles(source string, recursive bool) ([]string, error) {
	if source == "-" {
		return []string{source}, nil
	}
	if strings.HasPrefix(source, "http://") || strings.HasPrefix(source, "https://") {
		return nil, errors.New("a manifest isn't fetched from a URL: download it, look at it, and name the file, or pipe it into -f -")
	}
	info, err := os.Stat(source)
	if err != nil {
		return nil, reason(err)
	}
	if !info.IsDir() {
		return []string{source}, nil
	}
	files, folders, err := folderFiles(source, recursive)
	switch {
	case err != nil:
		return nil, reason(err)
	case len(files) == 0 && folders > 0:
		return nil, errors.New("this folder has no .yaml, .yml or .json file, but folders, which -R reads")
	case len(files) == 0:
		return nil, errors.New("this folder has no .yaml, .yml or .json file")
	}
	return files, nil
}

// folderFiles lists the manifests in a folder, and counts the folders that it didn't look into.
func folderFiles(dir string, recursive bool) (files []string, folders int, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, 0, err
	}
	for _, e := range entries {
		name, path := e.Name(), filepath.Join(dir, e.Name())
		switch {
		case isNoise(name):
		case e.IsDir() && !recursive:
			folders++
		case e.IsDir():
			inner, _, err := folderFiles(path, true)
			if err != nil {
				return nil, 0, err
			}
			files = append(files, inner...)
		case IsManifestName(name) && !isFolder(path, e):
			files = append(files, path)
		}
	}
	return files, folders, nil
}

// IsManifestName says whether Load reads a file of that name, without its folder, where it is given the folder.
func IsManifestName(name string) bool {
	return slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name)) && !isNoise(name)
}

// isNoise says whether a name is hidden, or an editor's backup.
func isNoise(name string) bool { return strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~") }

// isFolder says whether a symbolic link leads to a folder; such are not followed.
func isFolder(path string, e fs.DirEntry) bool {
	if e.Type()&fs.ModeSymlink == 0 {
		return false
	}
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func loadFile(path string, stdin io.Reader) parsed {
	if path == "-" {
		if stdin == nil {
			stdin = os.Stdin
		}
		return loadStream(stdinName, stdin)
	}
	f, err := os.Open(path)
	if err != nil {
		return broken(Problem{File: path, Message: reason(err).Error()})
	}
	defer f.Close()
	return loadStream(path, f)
}

// loadStream reads no more than it would accept.
func loadStream(name string, r io.Reader) parsed {
	data, err := readAtMost(r, maxStream)
	if err != nil {
		return broken(Problem{File: name, Message: reason(err).Error()})
	}
	return parseStream(name, data)
}

// readAtMost reads r to its end, or fails when there is more than limit.
func readAtMost(r io.Reader, limit int) ([]byte, error) {
	size := 512
	if f, ok := r.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			if info.Size() > int64(limit) {
				return nil, fmt.Errorf("this has %d bytes: the most is %s", info.Size(), people(limit))
			}
			size = int(info.Size()) + 1
		}
	}
	buf := make([]byte, 0, size)
	for {
		if len(buf) > limit {
			return nil, fmt.Errorf("there is more than %s of it", people(limit))
		}
		if len(buf) == cap(buf) {
			buf = slices.Grow(buf, len(buf))
		}
		n, err := r.Read(buf[len(buf):min(cap(buf), limit+1)])
		buf = buf[:len(buf)+n]
		if errors.Is(err, io.EOF) {
			return buf, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// reason is an error of the file system without the path, which stands before it already.
func reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return fmt.Errorf("%s: %w", p.Op, p.Err)
	}
	return err
}

// inParallel calls do with 0 to n-1 on all processors, and returns when all calls have.
func inParallel(n int, do func(i int)) {
	workers := min(n, runtime.GOMAXPROCS(0))
	if workers < 2 {
		for i := range n {
			do(i)
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				do(int(i))
			}
		})
	}
	wg.Wait()
}

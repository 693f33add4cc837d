package spec

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
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
	// Hosts are files and folders that further hosts are declared in, and nothing else is. One that isn't there has none, nor has an empty folder.
	Hosts []string
	// Resolve, where it is set, has what Resolve would find wrong with the sound manifests told together with what is wrong with the others.
	Resolve *ResolveOptions
}

// stdinName is what stands for a file's path where a manifest was read from stdin.
const stdinName = "stdin"

// LoadAll reads manifests from files, folders and "-", which is stdin, strictly as ParseAll does, in the order of the sources and in a folder in the
// order of the names. A folder's manifests are its files that end in .yaml, .yml or .json; names that begin with a dot or end in ~ are skipped. A file that is
// named twice is read once.
//
// The error is Problems with everything that is wrong in any of them, and there are no documents then. No document at all in the sources is a problem too, so
// that an empty folder is never mistaken for the wish to run nothing. Without sources only o.Hosts are read, if there are any.
func LoadAll(sources []string, o LoadOptions) (Documents, error) {
	all, err := loadAll(sources, o)
	if err == nil && len(sources) > 0 && len(all.Daemons) == 0 && all.declared == 0 {
		err = nothing(sources)
	}
	if err != nil {
		return Documents{}, err
	}
	return all.Documents, nil
}

// Load is LoadAll for the manifests of daemons. Those of hosts are checked, and left out; where there are no others, that is a problem.
func Load(sources []string, o LoadOptions) ([]Manifest, error) {
	all, err := loadAll(sources, o)
	if err == nil && len(all.Daemons) == 0 {
		err = nothing(sources)
		if all.declared > 0 {
			err = Problems{{File: strings.Join(sources, ", "), Message: "there are hosts in here, and no daemon"}}
		}
	}
	if err != nil {
		return nil, err
	}
	return all.Daemons, nil
}

func nothing(sources []string) error {
	return Problems{{File: strings.Join(sources, ", "), Message: "there is no manifest in here"}}
}

// loaded are the documents of sources and inventory.
type loaded struct {
	Documents
	declared int // hosts in the sources
}

func loadAll(sources []string, o LoadOptions) (loaded, error) {
	var files []string
	var ps Problems
	if len(sources) > 0 || len(o.Hosts) == 0 {
		files, ps = expand(sources, o)
	}
	mine := len(files)
	files, ps = inventory(files, ps, o.Hosts)
	results := make([]parsed, len(files))
	inParallel(len(files), func(i int) {
		if results[i] = loadFile(files[i], o.Stdin); i >= mine {
			results[i].hostsOnly()
		}
	})
	all := loaded{}
	for _, r := range results[:mine] {
		all.declared += len(r.Hosts)
	}
	found := gather(results)
	all.Documents = found.Documents
	ps = append(ps, found.problems...)
	ps = append(ps, checkSet(all.Documents)...)
	if len(ps) > 0 {
		ps = append(ps, unresolved(all.Daemons, o.Resolve)...)
		ps = ps.inOrder(append(files, stdinName))
	}
	return all, ps.err()
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

package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"reconciler.dev/reconciler/internal/glob"
)

// maxInputs is more files than anybody builds a program from; who names more has named a folder too many.
const maxInputs = 200_000

// Inputs lists the files that patterns mean, but for output, by their paths relative to dir, sorted. Links are followed where they lead to files, and not where they lead to folders.
func Inputs(ctx context.Context, dir string, patterns []string, output string) ([]string, error) {
	set, err := glob.Parse(patterns)
	if err != nil {
		return nil, fmt.Errorf("build.inputs: %w", err)
	}
	w := walk{set: set, dir: dir, output: path.Clean(output)}
	if err := w.enter(ctx, "."); err != nil {
		return nil, fmt.Errorf("list the inputs of a build in %s: %w", dir, err)
	}
	slices.Sort(w.found)
	return w.found, nil
}

// walk is one listing.
type walk struct {
	set    glob.Set
	dir    string
	output string
	found  []string
}

func (w *walk) enter(ctx context.Context, rel string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := os.ReadDir(filepath.Join(w.dir, filepath.FromSlash(rel)))
	switch {
	case errors.Is(err, fs.ErrNotExist) && rel != ".":
		return nil // it went since
	case err != nil:
		return err
	}
	for _, e := range entries {
		name := path.Join(rel, e.Name())
		switch {
		case e.IsDir():
			if w.set.Below(name) {
				if err := w.enter(ctx, name); err != nil {
					return err
				}
			}
		case name != w.output && w.set.Match(name) && w.leadsToFile(name, e):
			if w.found = append(w.found, name); len(w.found) > maxInputs {
				return fmt.Errorf("the patterns mean more than %d files; take folders away with patterns such as !node_modules, and name fewer", maxInputs)
			}
		}
	}
	return nil
}

// leadsToFile says whether a name is a file's, or that of a link to one.
func (w *walk) leadsToFile(name string, e fs.DirEntry) bool {
	if e.Type()&fs.ModeSymlink == 0 {
		return e.Type().IsRegular()
	}
	info, err := os.Stat(filepath.Join(w.dir, filepath.FromSlash(name)))
	return err == nil && info.Mode().IsRegular()
}

// contents maps files to what tells one content of them from another: the digest, and whether they can be executed. Those that went meanwhile are left out.
func (m *memo) contents(ctx context.Context, dir string, names []string) (map[string]string, error) {
	digests, errs := make([]string, len(names)), make([]error, len(names))
	var wg sync.WaitGroup
	next := make(chan int)
	for range min(len(names), runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for i := range next {
				digests[i], errs[i] = m.contentOf(filepath.Join(dir, filepath.FromSlash(names[i])))
			}
		})
	}
	for i := range names {
		if ctx.Err() != nil {
			break
		}
		next <- i
	}
	close(next)
	wg.Wait()
	if err := errors.Join(append(errs, ctx.Err())...); err != nil {
		return nil, fmt.Errorf("read the inputs of a build: %w", err)
	}
	all := make(map[string]string, len(names))
	for i, name := range names {
		if digests[i] != "" {
			all[name] = digests[i]
		}
	}
	return all, nil
}

func (m *memo) contentOf(path string) (string, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return "", nil
	}
	f, err := m.read(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", err
	case isExecutable(info.Mode()):
		return f.Digest + " x", nil
	}
	return f.Digest, nil
}

// source is everything that a program depends on.
type source struct {
	Command []string          `json:"command"`
	Env     map[string]string `json:"env"` // the digests of the values: they may be nobody's business
	Output  string            `json:"output"`
	// Tool is where the compiler was found, which is for messages, and ToolDigest is its content.
	Tool       string            `json:"tool"`
	ToolDigest string            `json:"toolDigest"`
	Inputs     map[string]string `json:"inputs"`
}

// digest is the same for equal sources, wherever they and the compiler lie.
func (s source) digest() string {
	h := sha256.New()
	fmt.Fprintf(h, "build 1 %q %q %q\n", s.Command, s.Output, s.ToolDigest)
	for _, m := range []map[string]string{s.Env, s.Inputs} {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			fmt.Fprintf(h, "%q %q\n", k, m[k])
		}
		fmt.Fprintln(h)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// due says what changed since old was built from; "" for nothing.
func (s source) due(old source) string {
	switch {
	case !slices.Equal(s.Command, old.Command):
		return "the command changed"
	case s.Output != old.Output:
		return "the output changed"
	}
	if names := changed(s.Env, old.Env); len(names) > 0 {
		return "env " + names[0] + how(s.Env, old.Env, names[0]) + andMore(len(names)-1, "variable")
	}
	if names := changed(s.Inputs, old.Inputs); len(names) > 0 {
		return names[0] + how(s.Inputs, old.Inputs, names[0]) + andMore(len(names)-1, "file")
	}
	if s.ToolDigest != old.ToolDigest {
		return s.Tool + " changed"
	}
	return ""
}

// changed are the keys of which a and b differ, sorted.
func changed(a, b map[string]string) []string {
	var names []string
	for k, v := range a {
		if was, ok := b[k]; !ok || was != v {
			names = append(names, k)
		}
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			names = append(names, k)
		}
	}
	slices.Sort(names)
	return names
}

func how(now, old map[string]string, name string) string {
	_, is := now[name]
	_, was := old[name]
	switch {
	case !was:
		return " is new"
	case !is:
		return " is gone"
	}
	return " changed"
}

func andMore(n int, what string) string {
	switch n {
	case 0:
		return ""
	case 1:
		return " and 1 more " + what
	}
	return fmt.Sprintf(" and %d more %ss", n, what)
}

package filewatch

import (
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// maxHashed is how much of a file is hashed; what is longer is no manifest.
const maxHashed = 64 << 20

// fingerprint is equal for equal contents of all that is watched, and for the same files where their content doesn't matter.
func (p points) fingerprint(o Options) [sha256.Size]byte {
	sum := sha256.New()
	for _, dir := range slices.Sorted(maps.Keys(p)) {
		for _, name := range p.names(dir, o) {
			path := filepath.Join(dir, name)
			fmt.Fprintf(sum, "%q", path)
			if content, named := p[dir].names[name]; named && !content {
				hashIdentity(sum, path)
			} else {
				hashContent(sum, path)
			}
		}
	}
	return [sha256.Size]byte(sum.Sum(nil))
}

// names lists what matters in a folder, sorted.
func (p points) names(dir string, o Options) []string {
	names := maps.Clone(p[dir].names)
	if p[dir].all || p[dir].trees != nil {
		entries, _ := os.ReadDir(dir) // one that can't be read differs from one that can, by its names
		for _, e := range entries {
			if path := filepath.Join(dir, e.Name()); p.relevant(path, o) || p.inTrees(path) {
				names[e.Name()] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// hashIdentity tells one file from another without reading it.
func hashIdentity(sum io.Writer, path string) {
	info, err := os.Stat(path)
	if err != nil {
		fmt.Fprint(sum, false)
		return
	}
	fmt.Fprint(sum, info.Mode(), info.Size(), info.ModTime().UnixNano())
}

func hashContent(sum io.Writer, path string) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		fmt.Fprint(sum, err == nil)
		return
	}
	f, err := os.Open(path)
	if err != nil {
		fmt.Fprint(sum, err)
		return
	}
	defer f.Close()
	content := sha256.New()
	_, err = io.Copy(content, io.LimitReader(f, maxHashed))
	fmt.Fprintf(sum, "%x %v", content.Sum(nil), err)
}

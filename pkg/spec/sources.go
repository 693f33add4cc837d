package spec

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// expand lists the files of sources, each once.
func expand(sources []string, o LoadOptions) ([]string, Problems) {
	var files []string
	var ps Problems
	seen := newPaths()
	for _, source := range sources {
		found, err := sourceFiles(source, o.Recursive)
		if err != nil {
			ps = append(ps, Problem{File: source, Message: err.Error()})
		}
		for _, f := range found {
			if seen.add(f) {
				files = append(files, f)
			}
		}
	}
	if len(sources) == 0 {
		ps = append(ps, Problem{Message: "no manifest is named: say -f FILE, -f FOLDER or -f -"})
	}
	return files, ps
}

// inventory adds the files that hosts are declared in to those of the sources, each once.
func inventory(files []string, ps Problems, hosts []string) ([]string, Problems) {
	if len(hosts) == 0 {
		return files, ps
	}
	seen := newPaths()
	for _, f := range files {
		seen.add(f)
	}
	for _, source := range hosts {
		found, err := hostFiles(source)
		if err != nil {
			ps = append(ps, Problem{File: source, Message: reason(err).Error()})
		}
		for _, f := range found {
			if seen.add(f) {
				files = append(files, f)
			}
		}
	}
	return files, ps
}

// hostFiles lists the files of one place of hosts.
func hostFiles(source string) ([]string, error) {
	info, err := os.Stat(source)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !info.IsDir():
		return []string{source}, nil
	}
	files, _, err := folderFiles(source, false)
	return files, err
}

// hostsOnly refuses daemons.
func (p *parsed) hostsOnly() {
	for i := range p.Daemons {
		if m := &p.Daemons[i]; !m.broken {
			p.problems = append(p.problems, m.at("kind", "this declares a daemon, and here only hosts are declared: name the file by -f"))
			m.broken = true
		}
	}
}

// paths is a set in which two spellings of a path are one. The working directory is asked for once, and not for each of them.
type paths struct {
	dir string // empty where it isn't known
	all map[string]bool
}

func newPaths() *paths {
	dir, _ := os.Getwd() // without it each spelling is a path
	return &paths{dir, map[string]bool{}}
}

// add tells whether the path is new.
func (p *paths) add(path string) bool {
	id := path
	if path != "-" && p.dir != "" {
		if id = filepath.Clean(path); !filepath.IsAbs(id) {
			id = filepath.Join(p.dir, id)
		}
	}
	if p.all[id] {
		return false
	}
	p.all[id] = true
	return true
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

package filewatch

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"reconciler.dev/reconciler/internal/glob"
)

// points are the folders to watch, by their paths without symbolic links.
type points map[string]*point

// point says which names in a folder matter.
type point struct {
	all   bool            // every name that isn't noise and that Options.Match accepts
	names map[string]bool // and these: true where what is in it matters, false where it is enough to know which file it is
	trees []inTree        // and what these mean
}

func (p points) at(dir string) *point {
	if p[dir] == nil {
		p[dir] = &point{names: map[string]bool{}}
	}
	return p[dir]
}

// relevant says whether something at path may change what is watched.
func (p points) relevant(path string, o Options) bool {
	if p[path] != nil {
		return true // a watched folder itself came, went or moved
	}
	dir, name := filepath.Split(path)
	at := p[filepath.Clean(dir)]
	if at == nil {
		return false
	}
	_, named := at.names[name]
	return named || at.all && (o.Match(name) || isSwap(name) || o.Recursive && !isNoise(name) && isFolder(path))
}

// note adds a name to what matters in a folder; content says that what is in it does, too.
func (p points) note(dir, name string, content bool) {
	at := p.at(dir)
	at.names[name] = at.names[name] || content
}

// programsOnly says whether the content of nothing in a folder matters.
func (at *point) programsOnly() bool {
	if at == nil || at.all || at.trees != nil {
		return false
	}
	for _, content := range at.names {
		if content {
			return false
		}
	}
	return true
}

// isSwap says whether a name is one of the links and folders by which a whole folder's content is swapped at once, as in "..data".
func isSwap(name string) bool { return strings.HasPrefix(name, "..") }

// isNoise says whether a name is hidden, or an editor's backup.
func isNoise(name string) bool { return strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~") }

func isFolder(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir()
}

// maxLinks is where the kernel gives up too, see path_resolution(7).
const maxLinks = 40

// follow adds what must be watched to see that path leads elsewhere: the folder and name of every symbolic link on the way. It returns where path
// leads to, or false and a point that sees the first missing thing appear. content is as in note.
func (p points) follow(path string, content bool) (final string, ok bool) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", false
	}
	root := filepath.VolumeName(abs) + string(filepath.Separator)
	cur, rest := root, parts(abs[len(root):])
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		if name == ".." {
			cur = filepath.Dir(cur)
			continue
		}
		next := filepath.Join(cur, name)
		info, err := os.Lstat(next)
		if err != nil {
			p.note(cur, name, content)
			return "", false
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			cur = next
			continue
		}
		p.note(cur, name, content)
		target, err := os.Readlink(next)
		if links++; err != nil || links > maxLinks {
			return "", false
		}
		if filepath.IsAbs(target) {
			cur = filepath.VolumeName(target) + string(filepath.Separator)
			target = target[len(cur):]
		}
		rest = append(parts(target), rest...)
	}
	return cur, true
}

func parts(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r < 0x80 && os.IsPathSeparator(uint8(r)) })
}

// root adds what must be watched for a file or folder that Options names.
func (p points) root(path string, o Options) {
	final, ok := p.follow(path, true)
	if !ok {
		return
	}
	info, err := os.Stat(final)
	switch {
	case err != nil || !info.IsDir():
		p.note(filepath.Dir(final), filepath.Base(final), true)
	default:
		p.folder(final, o)
	}
}

// folder adds a folder that isn't a link, with those in it where they are wanted.
func (p points) folder(dir string, o Options) {
	p.at(dir).all = true
	entries, _ := os.ReadDir(dir) // one that can't be read has nothing in it that could be watched
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case e.Type()&fs.ModeSymlink != 0 && o.Match(e.Name()):
			p.file(path, true)
		case e.IsDir() && o.Recursive && !isNoise(e.Name()):
			p.folder(path, o)
		}
	}
}

// file adds what must be watched to see a file change; content is as in note.
func (p points) file(path string, content bool) {
	if final, ok := p.follow(path, content); ok {
		p.note(filepath.Dir(final), filepath.Base(final), content)
	}
}

// inTree is where a folder stands in a Tree.
type inTree struct {
	set glob.Set
	rel string // the folder in it, "." for the tree's own
	but string
}

// means says whether a name in the folder is a file that matters, or leads to some.
func (t inTree) means(name string, isFolder func() bool) bool {
	rel := path.Join(t.rel, name)
	return rel != t.but && t.set.Match(rel) || t.set.Below(rel) && isFolder()
}

// tree adds what must be watched for a Tree.
func (p points) tree(t Tree) {
	set, err := glob.Parse(t.Patterns)
	final, ok := p.follow(t.Dir, true)
	if err != nil || !ok || !isFolder(final) {
		return
	}
	p.branch(final, inTree{set, ".", path.Clean(t.But)})
}

func (p points) branch(dir string, t inTree) {
	at := p.at(dir)
	at.trees = append(at.trees, t)
	entries, _ := os.ReadDir(dir) // as in folder
	for _, e := range entries {
		rel := path.Join(t.rel, e.Name())
		switch {
		case e.Type()&fs.ModeSymlink != 0 && t.set.Match(rel):
			p.file(filepath.Join(dir, e.Name()), true)
		case e.IsDir() && t.set.Below(rel):
			p.branch(filepath.Join(dir, e.Name()), inTree{t.set, rel, t.but})
		}
	}
}

// treeQuiet is how long it must have been quiet where only files of trees changed.
const treeQuiet = 30 * time.Millisecond

// quiet is how long it must be quiet after what happened before it is told; 0: it is nothing to tell.
func (p points) quiet(ev fsnotify.Event, o Options) time.Duration {
	switch {
	case p.relevant(ev.Name, o) && (ev.Op != fsnotify.Chmod || p.isProgram(ev.Name)):
		return o.Quiet
	case p.inTrees(ev.Name): // also where only its mode changed: whether it can be executed is part of it
		return min(treeQuiet, o.Quiet)
	}
	return 0
}

// isProgram says whether it matters of something at path which file it is, and so whether it can be executed.
func (p points) isProgram(at string) bool {
	dir, name := filepath.Split(at)
	folder := p[filepath.Clean(dir)]
	if folder == nil {
		return false
	}
	content, named := folder.names[name]
	return named && !content
}

// inTrees says whether something at path is part of a tree.
func (p points) inTrees(at string) bool {
	dir, name := filepath.Split(at)
	folder := p[filepath.Clean(dir)]
	return folder != nil && slices.ContainsFunc(folder.trees, func(t inTree) bool { return t.means(name, func() bool { return isFolder(at) }) })
}

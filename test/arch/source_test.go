package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "reconciler.dev/reconciler"

// folder is one package as it is written, for all platforms together.
type folder struct {
	path  string // from the module's root, as in pkg/spec
	fset  *token.FileSet
	files []*source
}

// source is one file.
type source struct {
	*ast.File
	name string // path from the module's root
	test bool
	size int // lines
}

// within reports whether the folder is one of trees or below it.
func (f *folder) within(trees ...string) bool {
	return slices.ContainsFunc(trees, func(t string) bool { return f.path == t || strings.HasPrefix(f.path, t+"/") })
}

// product reports whether the folder is part of what is shipped.
func (f *folder) product() bool { return f.within("cmd", "pkg", "internal") }

// code returns the files that aren't tests.
func (f *folder) code() []*source {
	return slices.DeleteFunc(slices.Clone(f.files), func(s *source) bool { return s.test })
}

func (f *folder) where(n ast.Node) string {
	p := f.fset.Position(n.Pos())
	return fmt.Sprintf("%s:%d", p.Filename, p.Line)
}

// uses calls found for every use of NAME of the package imported from importPath, with the name.
func (s *source) uses(importPath string, found func(n ast.Node, name string)) {
	local := s.importName(importPath)
	if local == "" {
		return
	}
	ast.Inspect(s.File, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if id, ok := sel.X.(*ast.Ident); ok && id.Name == local {
				found(sel, sel.Sel.Name)
			}
		}
		return true
	})
}

// importName is what a file calls an imported package, empty where it doesn't import it.
func (s *source) importName(importPath string) string {
	for _, i := range s.Imports {
		if importOf(i) == importPath {
			if i.Name != nil {
				return i.Name.Name
			}
			return path.Base(importPath)
		}
	}
	return ""
}

func importOf(i *ast.ImportSpec) string {
	p, err := strconv.Unquote(i.Path.Value)
	if err != nil {
		return i.Path.Value
	}
	return p
}

// parse makes folders of sources by path.
func parse(sources map[string]string) ([]*folder, error) {
	fset := token.NewFileSet()
	byPath := map[string]*folder{}
	for name, text := range sources {
		file, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		dir := path.Dir(name)
		if byPath[dir] == nil {
			byPath[dir] = &folder{path: dir, fset: fset}
		}
		byPath[dir].files = append(byPath[dir].files, &source{
			File: file, name: name, test: strings.HasSuffix(name, "_test.go"), size: strings.Count(text, "\n"),
		})
	}
	var all []*folder
	for _, f := range byPath {
		slices.SortFunc(f.files, func(a, b *source) int { return strings.Compare(a.name, b.name) })
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b *folder) int { return strings.Compare(a.path, b.path) })
	return all, nil
}

// readModule reads every Go file of the module.
func readModule(t *testing.T) []*folder {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Fatalf("the module's root isn't where it was: %v", err)
	}
	sources := map[string]string{}
	err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && name != root && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".")) {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		sources[filepath.ToSlash(rel)] = string(text)
		return nil
	})
	if err != nil {
		t.Fatalf("read the module: %v", err)
	}
	all, err := parse(sources)
	if err != nil {
		t.Fatalf("parse the module: %v", err)
	}
	return all
}

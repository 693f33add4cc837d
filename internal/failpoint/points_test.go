package failpoint

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestEveryPointIsPassedSomewhere holds the list against the code: a point that is declared is listed and hit, and every hit is a declared point.
func TestEveryPointIsPassedSomewhere(t *testing.T) {
	declared := constants(t)
	listed := map[Point]bool{}
	for _, p := range Names() {
		if listed[p] {
			t.Errorf("%s is listed twice", p)
		}
		listed[p] = true
	}
	hit := map[string]int{}
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, after := range strings.Split(string(src), "failpoint.Hit(failpoint.")[1:] {
			name, _, _ := strings.Cut(after, ")")
			hit[name]++
			if _, ok := declared[name]; !ok {
				t.Errorf("%s hits %s, which is not declared", path, name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range declared {
		if hit[name] == 0 {
			t.Errorf("%s is declared and never hit", name)
		}
		if !listed[p] {
			t.Errorf("%s is declared and not listed by Names", name)
		}
	}
	if len(listed) != len(declared) {
		t.Errorf("%d points are listed, %d are declared", len(listed), len(declared))
	}
}

// constants returns the declared points by the name of their constant.
func constants(t *testing.T) map[string]Point {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "points.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]Point{}
	ast.Inspect(f, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if id, ok := v.Type.(*ast.Ident); ok && id.Name == "Point" {
			out[v.Names[0].Name] = Point(strings.Trim(v.Values[0].(*ast.BasicLit).Value, `"`))
		}
		return true
	})
	return out
}

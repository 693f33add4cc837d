package main

import (
	"fmt"
	"go/ast"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// target is one fuzz function and the folder of its package, as in ./pkg/spec.
type target struct{ dir, name string }

// fuzzTargets finds the functions FuzzXxx in the test files under root, in the order of their folders.
func fuzzTargets(root string) ([]target, error) {
	var found []target
	err := eachTestFile(root, func(dir string, file *ast.File) {
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Fuzz") {
				found = append(found, target{dir, f.Name.Name})
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("look for fuzz targets: %w", err)
	}
	return found, nil
}

// crashPackages finds the folders with test files that only the build with failpoints has.
func crashPackages(root string) ([]string, error) {
	var found []string
	err := eachTestFile(root, func(dir string, file *ast.File) {
		if needsFailpoints(file) && !slices.Contains(found, dir) {
			found = append(found, dir)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("look for tests of the build with failpoints: %w", err)
	}
	return found, nil
}

// needsFailpoints reports whether a file is built with the tag failpoints and not without it, on some platform.
func needsFailpoints(file *ast.File) bool {
	for _, g := range file.Comments {
		for _, c := range g.List {
			if g.Pos() > file.Package || !constraint.IsGoBuild(c.Text) {
				continue
			}
			expr, err := constraint.Parse(c.Text)
			if err != nil {
				continue // go vet says what is wrong with it
			}
			with := expr.Eval(func(string) bool { return true })
			without := expr.Eval(func(tag string) bool { return tag != "failpoints" })
			return with && !without
		}
	}
	return false
}

// eachTestFile calls visit for every test file under root with its folder, in the order of their paths.
func eachTestFile(root string, visit func(dir string, file *ast.File)) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && path != root) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		visit("./"+filepath.ToSlash(rel), file)
		return nil
	})
}

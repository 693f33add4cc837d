package main

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"time"
)

// target is one fuzz function and the folder of its package, as in ./pkg/spec.
type target struct{ dir, name string }

// fuzz runs each target of the module for d. The go command fuzzes one target at a time, on all cores.
func (c *checker) fuzz(ctx context.Context, d time.Duration) error {
	targets, err := fuzzTargets(c.root)
	if err != nil {
		return err
	}
	if len(targets) == 0 {
		return errors.New("fuzz: there is no target")
	}
	var errs []error
	for _, t := range targets {
		errs = append(errs, c.tool(ctx, nil, "go", "test", "-run=^$", "-fuzz=^"+t.name+"$", "-fuzztime="+d.String(), t.dir))
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

// fuzzTargets finds the functions FuzzXxx in the test files under root, in the order of their folders.
func fuzzTargets(root string) ([]target, error) {
	var found []target
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && path != root) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Fuzz") {
				found = append(found, target{"./" + filepath.ToSlash(rel), f.Name.Name})
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for fuzz targets: %w", err)
	}
	return found, nil
}

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFuzzTargets(t *testing.T) {
	root := tree(t, map[string]string{
		"b/b_test.go":          "package b\nfunc FuzzTwo(f *testing.F) {}\nfunc FuzzOne(f *testing.F) {}\nfunc TestFuzz(t *testing.T) {}\n",
		"a/a_test.go":          "package a\nfunc (x T) FuzzMethod() {}\n",
		"a/c/c_test.go":        "package c\nfunc FuzzC(f *testing.F) {}\n",
		"a/a.go":               "package a\nfunc FuzzNoTestFile() {}\n",
		"a/testdata/d_test.go": "not Go at all",
		".cache/e_test.go":     "package e\nfunc FuzzCache(f *testing.F) {}\n",
	})
	got, err := fuzzTargets(root)
	if err != nil {
		t.Fatal(err)
	}
	want := []target{{"./a/c", "FuzzC"}, {"./b", "FuzzTwo"}, {"./b", "FuzzOne"}}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(target{})); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestCrashPackages(t *testing.T) {
	root := tree(t, map[string]string{
		"a/on_test.go":   "//go:build failpoints\n\npackage a\n",
		"a/more_test.go": "//go:build failpoints && linux\n\npackage a\n",
		"b/off_test.go":  "//go:build !failpoints\n\npackage b\n",
		"c/any_test.go":  "//go:build linux || failpoints\n\npackage c\n",
		"d/none_test.go": "package d\n\n//go:build failpoints\n",
		"e/on.go":        "//go:build failpoints\n\npackage e\n",
		"f/on_test.go":   "// A licence.\n\n//go:build linux && failpoints\n\n// Package f is documented.\npackage f\n",
	})
	got, err := crashPackages(root)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"./a", "./f"}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestBrokenSourceIsAnError(t *testing.T) {
	root := tree(t, map[string]string{"a_test.go": "nonsense"})
	if got, err := fuzzTargets(root); err == nil {
		t.Errorf("fuzzTargets: got %v and no error", got)
	}
	if got, err := crashPackages(root); err == nil {
		t.Errorf("crashPackages: got %v and no error", got)
	}
}

func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for path, text := range files {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

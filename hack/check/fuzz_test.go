package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFuzzTargets(t *testing.T) {
	root := t.TempDir()
	for path, text := range map[string]string{
		"b/b_test.go":          "package b\nfunc FuzzTwo(f *testing.F) {}\nfunc FuzzOne(f *testing.F) {}\nfunc TestFuzz(t *testing.T) {}\n",
		"a/a_test.go":          "package a\nfunc (x T) FuzzMethod() {}\n",
		"a/c/c_test.go":        "package c\nfunc FuzzC(f *testing.F) {}\n",
		"a/a.go":               "package a\nfunc FuzzNoTestFile() {}\n",
		"a/testdata/d_test.go": "not Go at all",
		".cache/e_test.go":     "package e\nfunc FuzzCache(f *testing.F) {}\n",
	} {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := fuzzTargets(root)
	if err != nil {
		t.Fatal(err)
	}
	want := []target{{"./a/c", "FuzzC"}, {"./b", "FuzzTwo"}, {"./b", "FuzzOne"}}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(target{})); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestFuzzTargetsOfBrokenSource(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "a_test.go"), []byte("nonsense"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := fuzzTargets(root); err == nil {
		t.Errorf("got %v and no error", got)
	}
}

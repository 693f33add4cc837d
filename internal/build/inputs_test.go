package build

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestInputs(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	for _, name := range []string{"main.go", "a/b/c.go", "a/b/c.txt", ".git/x.go", "dist/worker", "dist/x.go", "node_modules/m/x.go"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(outside, "shared.go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{
		"linked.go": filepath.Join(outside, "shared.go"), "dangling.go": filepath.Join(outside, "nothing"), "folder.go": outside, "loop": dir,
	} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		patterns, output string
		want             []string
	}{
		{"**/*.go", "dist/worker", []string{"a/b/c.go", "dist/x.go", "linked.go", "main.go", "node_modules/m/x.go"}},
		{"**/*.go !node_modules !dist", "dist/worker", []string{"a/b/c.go", "linked.go", "main.go"}},
		{"dist", "dist/worker", []string{"dist/x.go"}},
		{"dist", "./dist//worker", []string{"dist/x.go"}},
		{"main.go go.mod", "worker", []string{"main.go"}},
		{"nothing/*", "worker", nil},
	} {
		got, err := Inputs(t.Context(), dir, strings.Fields(tt.patterns), tt.output)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s but %s:\n%s", tt.patterns, tt.output, diff)
		}
	}
}

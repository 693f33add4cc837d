package glob

import (
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tree is what there is to be meant.
func tree() []string {
	return []string{
		"go.mod", "go.sum", "main.go", "main_test.go", "README.md", ".golangci.yml", ".git/HEAD", ".git/hooks/x.go",
		"cmd/worker/main.go", "cmd/worker/.hidden.go", "cmd/web/main.go", "cmd/web/page.html", "internal/a/b/c/deep.go", "dist/worker", "dist/worker.map", "a[1].txt",
	}
}

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		patterns []string
		want     []string
	}{
		{nil, nil},
		{[]string{"go.mod", "go.sum"}, []string{"go.mod", "go.sum"}},
		{[]string{"*.go"}, []string{"main.go", "main_test.go"}},
		{[]string{"./*.go"}, []string{"main.go", "main_test.go"}},
		{[]string{"**/*.go"}, []string{"main.go", "main_test.go", "cmd/worker/main.go", "cmd/web/main.go", "internal/a/b/c/deep.go"}},
		{[]string{"**/main.go"}, []string{"main.go", "cmd/worker/main.go", "cmd/web/main.go"}},
		{[]string{"cmd/**"}, []string{"cmd/worker/main.go", "cmd/web/main.go", "cmd/web/page.html"}},
		{[]string{"cmd"}, []string{"cmd/worker/main.go", "cmd/web/main.go", "cmd/web/page.html"}},
		{[]string{"cmd/"}, []string{"cmd/worker/main.go", "cmd/web/main.go", "cmd/web/page.html"}},
		{[]string{"cmd/*"}, nil},
		{[]string{"cmd/*/main.go"}, []string{"cmd/worker/main.go", "cmd/web/main.go"}},
		{[]string{"internal/**/b/**/*.go"}, []string{"internal/a/b/c/deep.go"}},
		{[]string{"cmd/web/*.{go,html}"}, []string{"cmd/web/main.go", "cmd/web/page.html"}},
		{[]string{"{cmd/{web,worker},internal}/**/*.go"}, []string{"cmd/worker/main.go", "cmd/web/main.go", "internal/a/b/c/deep.go"}},
		{[]string{"**/*.go", "!**/*_test.go"}, []string{"main.go", "cmd/worker/main.go", "cmd/web/main.go", "internal/a/b/c/deep.go"}},
		{[]string{"!cmd", "**/*.go"}, []string{"main.go", "main_test.go", "internal/a/b/c/deep.go"}},
		{[]string{"**", "!dist/**", "!**/*.go"}, []string{"go.mod", "go.sum", "README.md", "cmd/web/page.html", "a[1].txt"}},
		{[]string{".golangci.yml", "cmd/worker/.*.go"}, []string{".golangci.yml", "cmd/worker/.hidden.go"}},
		{[]string{".git"}, []string{".git/HEAD", ".git/hooks/x.go"}},
		{[]string{"main?go", "[gR]*"}, []string{"go.mod", "go.sum", "main.go", "README.md"}},
		{[]string{`a\[1].txt`}, []string{"a[1].txt"}},
		{[]string{"."}, slices.DeleteFunc(tree(), func(n string) bool { return strings.Contains("/"+n, "/.") })},
	} {
		s, err := Parse(tt.patterns)
		if err != nil {
			t.Errorf("%q: %v", tt.patterns, err)
			continue
		}
		var got []string
		for _, name := range tree() {
			if s.Match(name) {
				got = append(got, name)
			}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%q:\n%s", tt.patterns, diff)
		}
		for _, name := range got {
			for dir := path.Dir(name); ; dir = path.Dir(dir) {
				if !s.Below(dir) {
					t.Errorf("%q means %s, and %s isn't to be entered", tt.patterns, name, dir)
				}
				if dir == "." {
					break
				}
			}
		}
	}
}

func TestBelow(t *testing.T) {
	for _, tt := range []struct {
		patterns []string
		dir      string
		want     bool
	}{
		{nil, ".", false},
		{[]string{"*.go"}, ".", true},
		{[]string{"*.go"}, "cmd", false},
		{[]string{"cmd/*/main.go"}, "cmd/web", true},
		{[]string{"cmd/*/main.go"}, "cmd/web/static", false},
		{[]string{"**/*.go"}, "node_modules/x", true},
		{[]string{"**/*.go"}, ".git", false},
		{[]string{"**/*.go", "!node_modules"}, "node_modules", false},
		{[]string{"**/*.go", "!node_modules/**"}, "node_modules/x", false},
		{[]string{"**/*.go", "!**/*_test.go"}, "cmd", true},
	} {
		s, err := Parse(tt.patterns)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Below(tt.dir); got != tt.want {
			t.Errorf("%q below %s: %v, want %v", tt.patterns, tt.dir, got, tt.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for pattern, want := range map[string]string{
		"/etc/*":                    "absolute",
		"../x":                      "out of the folder",
		"a/../../x":                 "out of the folder",
		"a[":                        "syntax error",
		"*.{go,html":                "has no }",
		"*.go}":                     "has no {",
		"!/x":                       "absolute",
		strings.Repeat("{a,b}", 10): "more than 256",
	} {
		if _, err := Parse([]string{"ok", pattern}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", pattern, err, want)
		}
	}
}

// FuzzGlob: nothing that is parsed takes long or panics, and what is meant can be reached by entering folders.
func FuzzGlob(f *testing.F) {
	f.Add("**/*.go", "cmd/worker/main.go")
	f.Add("{a,b}/**/c", "a/x/y/c")
	f.Add("!x", "x")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		s, err := Parse([]string{pattern})
		if err != nil || name != path.Clean(name) || strings.HasPrefix(name, "/") {
			return
		}
		if s.Match(name) && name != "." && !s.Below(path.Dir(name)) {
			t.Errorf("%q means %q, and its folder isn't to be entered", pattern, name)
		}
	})
}

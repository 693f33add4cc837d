package spec

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// manifestNamed is a small manifest.
func manifestNamed(name string) string {
	return "apiVersion: reconciler.dev/v1\nkind: DaemonSpec\nmetadata: {name: " + name + "}\nspec: {binary: /bin/" + name + "}\n"
}

// folder makes a folder of files, by path, and goes into it for the time of the test.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for path, content := range files {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	return dir
}

// names are where manifests came from, NAME@FILE:LINE.
func names(ms []Manifest) []string {
	var out []string
	for _, m := range ms {
		out = append(out, m.Metadata.Name+"@"+m.Source())
	}
	return out
}

func TestLoadReadsSources(t *testing.T) {
	folder(t, map[string]string{
		"one.yaml":                manifestNamed("one"),
		"set/b.yml":               manifestNamed("b"),
		"set/a.json":              `{"apiVersion": "reconciler.dev/v1", "kind": "DaemonSpec", "metadata": {"name": "a"}, "spec": {"binary": "/bin/a"}}`,
		"set/c.yaml":              "# two in one\n---\n" + manifestNamed("c1") + "---\n" + manifestNamed("c2"),
		"set/deep/d.yaml":         manifestNamed("d"),
		"set/.hidden.yaml":        "not: [yaml",
		"set/.c.yaml.swp":         "not: [yaml",
		"set/c.yaml~":             "not: [yaml",
		"set/4913":                "not: [yaml",
		"set/README.md":           "not: [yaml",
		"set/.git/config.yaml":    "not: [yaml",
		"set/empty.yaml":          "# nothing\n",
		"set/deep/notes~/e.yaml":  "not: [yaml",
		"map/..2026/web.yaml":     manifestNamed("web"),
		"map/..2026/ignored.yaml": "not: [yaml",
	})
	link(t, "..2026", "map/..data")
	link(t, "..data/web.yaml", "map/web.yaml")
	link(t, "../set", "map/folder.yaml")
	tests := []struct {
		name    string
		sources []string
		o       LoadOptions
		want    []string
	}{
		{"a file", []string{"one.yaml"}, LoadOptions{}, []string{"one@one.yaml:1"}},
		{"a folder", []string{"set"}, LoadOptions{}, []string{"a@set/a.json:1", "b@set/b.yml:1", "c1@set/c.yaml:3", "c2@set/c.yaml:8"}},
		{"a tree", []string{"set/"}, LoadOptions{Recursive: true}, []string{"a@set/a.json:1", "b@set/b.yml:1", "c1@set/c.yaml:3", "c2@set/c.yaml:8", "d@set/deep/d.yaml:1"}},
		{"a mounted config map", []string{"map"}, LoadOptions{Recursive: true}, []string{"web@map/web.yaml:1"}},
		{"a file named twice", []string{"set/b.yml", "one.yaml", "./set/../set/b.yml"}, LoadOptions{}, []string{"b@set/b.yml:1", "one@one.yaml:1"}},
		{"stdin", []string{"-", "one.yaml", "-"}, LoadOptions{Stdin: strings.NewReader(manifestNamed("piped"))}, []string{"piped@stdin:1", "one@one.yaml:1"}},
		{"a file without a known ending", []string{"set/c.yaml", "one.yaml"}, LoadOptions{}, []string{"c1@set/c.yaml:3", "c2@set/c.yaml:8", "one@one.yaml:1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ms, err := Load(tt.sources, tt.o)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, names(ms)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func link(t *testing.T, to, at string) {
	t.Helper()
	if err := os.Symlink(to, at); err != nil {
		t.Fatal(err)
	}
}

func TestLoadTellsWhatItCantRead(t *testing.T) {
	folder(t, map[string]string{
		"bare/README.md":     "",
		"deep/a/b.yaml":      manifestNamed("b"),
		"comments/c.yaml":    "# nothing\n",
		"twice/a.yaml":       manifestNamed("same"),
		"twice/b.yaml":       "\n" + manifestNamed("same"),
		"both/a.yaml":        manifestNamed("a") + "bogus: 1\n",
		"both/b.yaml":        "a: [\n---\n" + manifestNamed("b") + "bogus: 1\n",
		"latin1.yaml":        "# caf\xe9\n",
		"utf16.yaml":         "\xff\xfea\x00",
		"large.yaml":         "#" + strings.Repeat("x", maxDocument) + "\n" + manifestNamed("large"),
		"control.yaml":       "a: \x01\n",
		"dangling/none.txt":  "",
		"many.yaml":          strings.Repeat("a: 1\n---\n", maxDocuments+1),
		"manylist.yaml":      "kind: List\nitems: [" + strings.Repeat("a,", maxDocuments) + "a]\n",
		"manyproblems.yaml":  strings.Repeat(manifestNamed("a")+"bogus: 1\n---\n", maxTold+10),
		"manymistakes.yaml":  "bogus:\n" + strings.Repeat("b: 1\n", 2*maxProblems),
		"crossed/files.yaml": strings.ReplaceAll(manifestNamed("a"), "}\n", "}\n") + "---\n" + manifestNamed("b"),
	})
	link(t, "gone.yaml", "dangling/d.yaml")
	if err := os.Truncate("large.yaml", maxStream+1); err == nil {
		if err := os.Rename("large.yaml", "huge.yaml"); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile("large.yaml", []byte("#"+strings.Repeat("x", maxDocument)+"\n"+manifestNamed("large")), 0o644); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		sources []string
		stdin   io.Reader
		want    []string
	}{
		{"nothing named", nil, nil, []string{"no manifest is named: say -f FILE, -f FOLDER or -f -"}},
		{"no such file", []string{"none.yaml"}, nil, []string{"none.yaml: stat: no such file or directory"}},
		{"a URL", []string{"https://example.com/a.yaml"}, nil, []string{"https://example.com/a.yaml: a manifest isn't fetched from a URL: download it, look at it, and name the file, or pipe it into -f -"}},
		{"an empty folder", []string{"bare"}, nil, []string{"bare: this folder has no .yaml, .yml or .json file"}},
		{"a folder of folders", []string{"deep"}, nil, []string{"deep: this folder has no .yaml, .yml or .json file, but folders, which -R reads"}},
		{"nothing but comments", []string{"comments"}, nil, []string{"comments: there is no manifest in here"}},
		{"empty stdin", []string{"-"}, strings.NewReader(""), []string{"-: there is no manifest in here"}},
		{"a broken pipe", []string{"-"}, iotest.ErrReader(errors.New("torn")), []string{"stdin: torn"}},
		{"a name twice", []string{"twice"}, nil, []string{"twice/b.yaml:4:18: metadata.name: same is declared twice, first in twice/a.yaml:1"}},
		{"everything at once", []string{"both", "none.yaml"}, nil, []string{
			"none.yaml: stat: no such file or directory",
			"both/a.yaml:5:1: bogus: unknown field: it can be one of apiVersion, kind, metadata, spec",
			"both/b.yaml:1:1: did not find expected node content",
			"both/b.yaml:7:1: bogus: unknown field: it can be one of apiVersion, kind, metadata, spec",
		}},
		{"no UTF-8", []string{"latin1.yaml", "utf16.yaml"}, nil, []string{"latin1.yaml: this is not UTF-8 text", "utf16.yaml: this is not UTF-8 text"}},
		{"a large document", []string{"large.yaml"}, nil, []string{"large.yaml:1: this document has 1048676 bytes: the most is 1 MiB"}},
		{"a huge file", []string{"huge.yaml"}, nil, []string{"huge.yaml: this has 33554433 bytes: the most is 32 MiB"}},
		{"endless stdin", []string{"-"}, endless{}, []string{"stdin: there is more than 32 MiB of it"}},
		{"a control character", []string{"control.yaml"}, nil, []string{"control.yaml:1:1: control characters are not allowed"}},
		{"a dangling link", []string{"dangling"}, nil, []string{"dangling/d.yaml: open: no such file or directory"}},
		{"very many documents", []string{"many.yaml"}, nil, []string{"many.yaml: this has 10001 documents: the most is 10000"}},
		{"a very long list", []string{"manylist.yaml"}, nil, []string{"manylist.yaml:2:8: items: this has 10001 manifests: the most is 10000"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ms, err := Load(tt.sources, LoadOptions{Stdin: tt.stdin})
			if err == nil || ms != nil {
				t.Fatalf("%v, %v", names(ms), err)
			}
			if diff := cmp.Diff(tt.want, strings.Split(err.Error(), "\n")); diff != "" {
				t.Error(diff)
			}
		})
	}
	for file, lines := range map[string]int{"manyproblems.yaml": maxTold + 1, "manymistakes.yaml": maxProblems + 1} {
		_, err := Load([]string{file}, LoadOptions{})
		if got := strings.Count(err.Error(), "\n") + 1; got != lines {
			t.Errorf("%s makes a message of %d lines, want %d:\n%.300s", file, got, lines, err)
		}
	}
}

// endless is a reader that never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '#'
	}
	return len(p), nil
}

// TestOnePlaceIsClaimedOnce checks what two manifests can't both have.
func TestOnePlaceIsClaimedOnce(t *testing.T) {
	with := func(name, lines string) string {
		return strings.Replace(head, "web", name, 1) + lines + "---\n"
	}
	_, err := Parse("f.yaml", []byte(
		with("a", "  log: {path: /var/log/x}\n  files: [{path: /etc/x, content: \"\"}]\n")+
			with("b", "  log: {path: /etc/x}\n")+
			with("c", "  files: [{path: /var/log/x, content: \"\"}]\n")))
	want := "f.yaml:14:15: spec.log.path: /etc/x is written by daemon a too, in f.yaml:1\n" +
		"f.yaml:21:18: spec.files[0].path: /var/log/x is written by daemon a too, in f.yaml:1"
	if err == nil || err.Error() != want {
		t.Error(cmp.Diff(want, fmt.Sprint(err)))
	}
}

// TestDocumentsAreCutApart checks that each document of a stream is found, with its line.
func TestDocumentsAreCutApart(t *testing.T) {
	tests := []struct {
		name, in string
		want     []string // LINES BEFORE:TEXT
	}{
		{"none", "", nil},
		{"only marks and comments", "---\n# c\n\n---\n", nil},
		{"one without marks", "a: 1\n", []string{"0:a: 1\n"}},
		{"a mark before and after", "---\na: 1\n---\n", []string{"0:---\na: 1\n"}},
		{"two", "a: 1\n---\nb: 1", []string{"0:a: 1\n", "1:---\nb: 1"}},
		{"content beside the mark", "--- a\n--- b\n", []string{"0:--- a\n", "1:--- b\n"}},
		{"no mark in a longer word or an indented line", "----\n ---\n---x\n", []string{"0:----\n ---\n---x\n"}},
		{"a directive belongs to what follows", "a\n---\n%YAML 1.2\n---\nb\n", []string{"0:a\n", "1:---\n%YAML 1.2\n---\nb\n"}},
		{"line ends of Windows", "a\r\n---\r\nb\r\n", []string{"0:a\r\n", "1:---\r\nb\r\n"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, d := range split([]byte(tt.in)) {
				got = append(got, fmt.Sprintf("%d:%s", d.skew, d.data))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// BenchmarkLoad500 is all that an apply does with 500 manifests in 500 files before it looks at a daemon.
func BenchmarkLoad500(b *testing.B) {
	dir := b.TempDir()
	for i := range 500 {
		text := fmt.Sprintf(webManifest, i)
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("web-%03d.yaml", i)), []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	b.ReportMetric(float64(runtime.GOMAXPROCS(0)), "cores")
	for b.Loop() {
		ms, err := Load([]string{dir}, LoadOptions{})
		if err != nil {
			b.Fatal(err)
		}
		ds, err := Resolve(ms, ResolveOptions{LookupEnv: os.LookupEnv, Path: os.Getenv("PATH")})
		if err != nil || len(ds) != 500 {
			b.Fatal(err)
		}
	}
}

const webManifest = `apiVersion: reconciler.dev/v1
kind: DaemonSpec
metadata:
  name: web-%03d
  labels:
    app: web
    tier: front
spec:
  driver: process
  binary: /usr/bin/sleep
  args: ["infinity"]
  env:
    PORT: "8080"
    MODE: production
  workingDir: /
  health:
    exec: [/bin/true]
    interval: 30s
    timeout: 5s
    failureThreshold: 3
  stop:
    signal: SIGTERM
    gracePeriod: 5s
  restart:
    policy: Always
`

const hostNamed = "apiVersion: reconciler.dev/v1\nkind: Host\nmetadata: {name: %s}\n"

func TestHostsAreReadFromTheirOwnPlacesToo(t *testing.T) {
	folder(t, map[string]string{
		"set/web.yaml":       manifestNamed("web"),
		"set/hosts.yaml":     fmt.Sprintf(hostNamed, "a"),
		"hosts.d/b.yaml":     fmt.Sprintf(hostNamed, "b"),
		"hosts.d/README.md":  "not: [yaml",
		"hosts.d/deep/c.yml": "not: [yaml",
		"more.yaml":          fmt.Sprintf(hostNamed, "c"),
		"empty/none.txt":     "",
		"comments.yaml":      "# nothing\n",
		"again/b.yaml":       fmt.Sprintf(hostNamed, "b"),
	})
	for _, tt := range []struct {
		name           string
		sources, hosts []string
		want           string // HOSTS / DAEMONS, or an error
	}{
		{"beside the sources", []string{"set"}, []string{"hosts.d", "more.yaml"}, "a b c / web"},
		{"alone", nil, []string{"hosts.d"}, "b / "},
		{"each file once", []string{"set", "more.yaml"}, []string{"./more.yaml", "set/hosts.yaml"}, "a c / web"},
		{"there needn't be any", []string{"set"}, []string{"none", "empty"}, "a / web"},
		{"nor any at all", nil, []string{"none"}, " / "},
		{"hosts alone may be all that is declared", []string{"set/hosts.yaml"}, nil, "a / "},
		{"but nothing in the sources is a mistake", []string{"comments.yaml"}, []string{"hosts.d"}, "comments.yaml: there is no manifest in here"},
		{"no daemon is declared there", []string{"set/hosts.yaml"}, []string{"set/web.yaml"},
			"set/web.yaml:2:7: kind: this declares a daemon, and here only hosts are declared: name the file by -f"},
		{"a name twice", []string{"again"}, []string{"hosts.d"}, "hosts.d/b.yaml:3:18: metadata.name: b is declared twice, first in again/b.yaml:1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			all, err := LoadAll(tt.sources, LoadOptions{Hosts: tt.hosts})
			if err != nil {
				if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
					t.Error(diff)
				}
				return
			}
			var hosts, daemons []string
			for _, h := range all.Hosts {
				hosts = append(hosts, h.Metadata.Name)
			}
			for _, m := range all.Daemons {
				daemons = append(daemons, m.Metadata.Name)
			}
			if diff := cmp.Diff(tt.want, strings.Join(hosts, " ")+" / "+strings.Join(daemons, " ")); diff != "" {
				t.Error(diff)
			}
		})
	}
	if ms, err := Load([]string{"set"}, LoadOptions{}); err != nil || len(ms) != 1 {
		t.Errorf("Load gives %v, %v", names(ms), err)
	}
	if _, err := Load([]string{"set/hosts.yaml"}, LoadOptions{}); err == nil || err.Error() != "set/hosts.yaml: there are hosts in here, and no daemon" {
		t.Errorf("Load of hosts alone: %v", err)
	}
}

func TestPathsOfAHostAreRelativeToItsManifest(t *testing.T) {
	dir := folder(t, map[string]string{"set/h.yaml": fmt.Sprintf(hostNamed, "a")})
	all, err := LoadAll([]string{"set/h.yaml"}, LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := all.Hosts[0].Dir(); err != nil || got != filepath.Join(dir, "set") || all.Hosts[0].Source() != "set/h.yaml:1" {
		t.Errorf("%s, %v", got, err)
	}
}

// TestAMistakeElsewhereDoesntHideWhatIsMissing checks that secrets and contents of daemons of other hosts are looked at with everything else, and their programs aren't.
func TestAMistakeElsewhereDoesntHideWhatIsMissing(t *testing.T) {
	folder(t, map[string]string{
		"a.yaml": manifestNamed("a") + "bogus: 1\n",
		"b.yaml": "apiVersion: reconciler.dev/v1\nkind: DaemonSpec\nmetadata: {name: b}\nspec:\n  host: gpu-1\n  binary: ./there\n  env: {T: {fromFile: none}}\n",
	})
	_, err := Load([]string{"a.yaml", "b.yaml"}, LoadOptions{Resolve: &ResolveOptions{}})
	if got := fmt.Sprint(err); strings.Contains(got, "spec.binary") || strings.Contains(got, "spec.host") || !strings.Contains(got, "b.yaml:7:12: spec.env[T]") {
		t.Error(got)
	}
}

func TestLoadTellsWhatIsMissingWithWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.yaml": "apiVersion: reconciler.dev/v1\nkind: DaemonSpec\nmetadata: {name: a}\nspec: {binary: ./nowhere}\n",
		"b.yaml": "apiVersion: reconciler.dev/v1\nkind: DaemonSpec\nmetadata: {name: b}\nspec: {binry: ./nowhere}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Load([]string{dir}, LoadOptions{Resolve: &ResolveOptions{}})
	var ps Problems
	if !errors.As(err, &ps) {
		t.Fatalf("got %v", err)
	}
	var got []string
	for _, p := range ps {
		got = append(got, filepath.Base(p.File)+" "+p.Field)
	}
	if want := []string{"a.yaml spec.binary", "b.yaml spec.binry"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

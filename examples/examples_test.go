// Package examples proves that the examples are what they say: every manifest loads, and README.md lists them all with their ports.
package examples

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/pkg/spec"
)

// port finds the ports of 127.0.0.1 in a manifest or a config file.
var port = regexp.MustCompile(`\b281\d\d\b`)

func TestEveryManifestLoads(t *testing.T) {
	manifests, err := spec.Load([]string{"manifests"}, spec.LoadOptions{Recursive: true})
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, m := range manifests {
		names[m.Metadata.Name] = true
	}
	for _, file := range manifestFiles(t) {
		one, err := spec.LoadAll([]string{file}, spec.LoadOptions{})
		if err != nil {
			t.Errorf("%s alone: %v", file, err)
			continue
		}
		for _, m := range one.Daemons {
			if !names[m.Metadata.Name] {
				t.Errorf("%s: %s isn't among those of the whole folder", file, m.Metadata.Name)
			}
		}
	}
}

func TestManifestsResolve(t *testing.T) {
	bin := t.TempDir()
	for _, name := range []string{"redis-server", "redis-cli", "memcached"} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/true\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	docs, err := spec.LoadAll([]string{"manifests"}, spec.LoadOptions{Recursive: true})
	if err != nil {
		t.Fatal(err)
	}
	hello := filepath.Join(bin, "redis-server") // any program will do: nothing is started
	for i := range docs.Daemons {
		if b := docs.Daemons[i].Spec.Binary; strings.HasSuffix(b, "/bin/hello") || b == "/usr/sbin/nginx" {
			docs.Daemons[i].Spec.Binary = hello
		}
	}
	placed, err := spec.Place(docs.Daemons, docs.Hosts, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, p := range placed {
		o := spec.ResolveOptions{LookupEnv: func(name string) (string, bool) { return "the key", name == "API_KEY" }, Path: bin}
		if p.Host != "" {
			o.Remote = &spec.RemoteResolve{}
		}
		daemons, err := spec.Resolve(p.Daemons, o)
		if err != nil {
			t.Errorf("host %q: %v", p.Host, err)
		}
		got[p.Host] = len(daemons)
	}
	want := map[string]int{"": len(manifestFiles(t)) - 2, "gpu-1": 1, "gpu-2": 1} // without the two files of the fleet
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("daemons by host: %s", diff)
	}
}

func TestPathsToHelloAreRight(t *testing.T) {
	want, err := filepath.Abs("../bin/hello")
	if err != nil {
		t.Fatal(err)
	}
	manifests, err := spec.Load([]string{"manifests"}, spec.LoadOptions{Recursive: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range manifests {
		if !strings.HasSuffix(m.Spec.Binary, "/bin/hello") {
			continue
		}
		got, err := filepath.Abs(filepath.Join(filepath.Dir(m.File), m.Spec.Binary))
		if err != nil || got != want {
			t.Errorf("%s: binary %s is %s, make hello builds %s (%v)", m.File, m.Spec.Binary, got, want, err)
		}
	}
}

func TestReadmeListsEveryManifestWithItsPort(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	takenBy := map[string]string{}
	for _, file := range manifestFiles(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "\nkind: DaemonSpec\n") {
			if lineWith(string(readme), "("+filepath.ToSlash(file)+")") == "" {
				t.Errorf("%s: README.md doesn't have it", file)
			}
			continue
		}
		ports := slices.Compact(slices.Sorted(slices.Values(port.FindAllString(string(text), -1))))
		if len(ports) != 1 {
			t.Errorf("%s has the ports %v, want one", file, ports)
			continue
		}
		if other := takenBy[ports[0]]; other != "" {
			t.Errorf("%s and %s both take port %s", other, file, ports[0])
		}
		takenBy[ports[0]] = file
		if line := lineWith(string(readme), "("+filepath.ToSlash(file)+")"); !strings.HasSuffix(line, "| "+ports[0]+" |") {
			t.Errorf("%s, port %s: README.md has %q", file, ports[0], line)
		}
	}
}

func lineWith(text, part string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

func manifestFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir("manifests", func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".yaml") {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) == 0 {
		t.Fatalf("found %v: %v", files, err)
	}
	return files
}

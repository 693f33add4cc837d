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
		one, err := spec.Load([]string{file}, spec.LoadOptions{})
		if err != nil {
			t.Errorf("%s alone: %v", file, err)
			continue
		}
		for _, m := range one {
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
	manifests, err := spec.Load([]string{"manifests"}, spec.LoadOptions{Recursive: true})
	if err != nil {
		t.Fatal(err)
	}
	hello := filepath.Join(bin, "redis-server") // any program will do: nothing is started
	for i := range manifests {
		if b := manifests[i].Spec.Binary; strings.HasSuffix(b, "/bin/hello") || b == "/usr/sbin/nginx" {
			manifests[i].Spec.Binary = hello
		}
	}
	env := func(name string) (string, bool) { return "the key", name == "API_KEY" }
	daemons, err := spec.Resolve(manifests, spec.ResolveOptions{LookupEnv: env, Path: bin})
	if err != nil {
		t.Fatal(err)
	}
	if len(daemons) != len(manifestFiles(t)) {
		t.Errorf("%d daemons of %d files", len(daemons), len(manifestFiles(t)))
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

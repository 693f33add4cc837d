package spec

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares got with a file, and with -update writes it.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is not what came out (go test -update writes it anew); -want +got:\n%s", file, diff)
	}
}

// manifests lists the manifests in a folder of testdata.
func manifests(t *testing.T, dir string) []string {
	t.Helper()
	files, err := sourceFiles(filepath.Join("testdata", dir), false)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestGoodManifests shows each manifest of testdata/good as it is understood.
func TestGoodManifests(t *testing.T) {
	for _, file := range manifests(t, "good") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			all, err := LoadAll([]string{file}, LoadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			golden(t, file+".golden", render(t, all))
		})
	}
}

// render writes documents as YAML with defaults: the hosts, then the daemons.
func render(t *testing.T, all Documents) string {
	t.Helper()
	var docs []string
	add := func(v any) {
		b, err := yaml.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, string(b))
	}
	for _, h := range all.Hosts {
		add(h.Host)
	}
	for _, m := range all.Daemons {
		add(m.DaemonSpec)
	}
	return strings.Join(docs, "---\n")
}

// TestBadManifests shows all that is told of each manifest of testdata/bad.
func TestBadManifests(t *testing.T) {
	for _, file := range manifests(t, "bad") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			all, err := LoadAll([]string{file}, LoadOptions{})
			if err == nil || all.Daemons != nil || all.Hosts != nil {
				t.Fatalf("%d manifests and error %v from a bad file", len(all.Daemons), err)
			}
			golden(t, file+".golden", strings.ReplaceAll(err.Error(), "testdata/bad/", "")+"\n")
		})
	}
}

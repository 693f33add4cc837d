package spec

import (
	"errors"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"sigs.k8s.io/yaml"
)

// FuzzParse checks of any input that it is refused with problems that say where, or read as another strict reader reads it where that one accepts it too,
// and that writing it out and reading it again gives the same.
func FuzzParse(f *testing.F) {
	for _, dir := range []string{"good", "bad"} {
		files, err := sourceFiles("testdata/"+dir, false)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	for _, s := range fragments() {
		f.Add([]byte(head + s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		ms, err := Parse("f.yaml", b)
		if err != nil {
			checkProblems(t, err)
			return
		}
		if len(ms) == 1 && len(split(b)) == 1 {
			compareReaders(t, b, ms[0].DaemonSpec)
		}
		for _, m := range ms {
			checkReadsBack(t, m)
		}
	})
}

// fragments are ends of a manifest on which readers of YAML tend to disagree.
func fragments() []string {
	return []string{
		"  args: [yes, No, on, ~, 0o17, 017, 1_000, 1e3, .5, 0x1F, +1, -0, 2001-01-01, .inf, '', <<]\n",
		"  args: [! a, !!str 1, !!str, \"\\x41\", 'it''s', a b]\n",
		"  args:\n  - |\n    text\n\n  - >-\n    folded\n    more\n",
		"  umask: 0o022\n  nice: -0\n",
		"  log: {maxSize: 1048576, maxFiles: 0}\n",
		"  env: {<<: {A: a}, A: b}\n",
		"  labels: {? a : b}\n",
		"...\n# the end\n",
	}
}

// checkProblems checks that each problem has a file and a message.
func checkProblems(t *testing.T, err error) {
	t.Helper()
	var ps Problems
	if !errors.As(err, &ps) || len(ps) == 0 {
		t.Fatalf("%T is no list of problems", err)
	}
	for _, p := range ps {
		if p.File == "" || p.Message == "" || p.Line < 0 || p.Column < 0 {
			t.Errorf("not a problem that helps: %+v", p)
		}
	}
}

// compareReaders checks what we read against what sigs.k8s.io/yaml reads, where it does.
func compareReaders(t *testing.T, b []byte, got DaemonSpec) {
	t.Helper()
	var other DaemonSpec
	if yaml.UnmarshalStrict(b, &other) != nil {
		return
	}
	other.Spec.foldHealthURL()
	if diff := cmp.Diff(other, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("-sigs.k8s.io/yaml +ours:\n%s", diff)
	}
}

// checkReadsBack checks that a manifest reads the same when it was written out, as YAML and as JSON.
func checkReadsBack(t *testing.T, m Manifest) {
	t.Helper()
	written, err := yaml.Marshal(m.DaemonSpec)
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := yaml.YAMLToJSON(written)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range [][]byte{written, asJSON} {
		again, err := Parse("f.yaml", b)
		if err != nil {
			t.Fatalf("%v, of:\n%s", err, b)
		}
		if diff := cmp.Diff(m.DaemonSpec, again[0].DaemonSpec, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("-first +again:\n%s", diff)
		}
		if a, b := Digest(m.Metadata, m.Spec), Digest(again[0].Metadata, again[0].Spec); a != b {
			t.Errorf("the digest was %s and is %s", a, b)
		}
	}
}

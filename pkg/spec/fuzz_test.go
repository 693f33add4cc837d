package spec

import (
	"errors"
	"os"
	"strings"
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
		f.Add([]byte(hostHead + s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := ParseAll("f.yaml", b)
		if err != nil {
			checkProblems(t, err)
			return
		}
		if len(all.Daemons) == 1 && len(split(b)) == 1 && len(all.Hosts) == 0 {
			compareReaders(t, b, all.Daemons[0].DaemonSpec)
		}
		for _, m := range all.Daemons {
			checkReadsBack(t, m)
		}
		for _, h := range all.Hosts {
			checkHostReadsBack(t, h)
		}
		checkPlaces(t, all)
	})
}

// checkPlaces checks that documents are placed, or refused with problems that help; and that what was placed makes the same daemons again when it is escaped,
// written out, read and placed anew.
func checkPlaces(t *testing.T, all Documents) {
	t.Helper()
	placed, err := Place(all.Daemons, all.Hosts, nil)
	if err != nil {
		checkProblems(t, err)
		return
	}
	for _, p := range placed {
		for _, m := range p.Daemons {
			again := m
			again.Spec = Unplaced(m.Spec)
			second, ps := again.on(facts{name: "other"})
			if diff := cmp.Diff(m.Spec, second.Spec); diff != "" || len(ps) > 0 {
				t.Errorf("-placed +unplaced and placed: %v\n%s", ps, diff)
			}
		}
	}
}

// checkHostReadsBack is checkReadsBack for a host.
func checkHostReadsBack(t *testing.T, h HostManifest) {
	t.Helper()
	written, err := yaml.Marshal(h.Host)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseAll("f.yaml", written)
	if err != nil {
		t.Fatalf("%v, of:\n%s", err, written)
	}
	if diff := cmp.Diff(h.Host, again.Hosts[0].Host, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("-first +again:\n%s", diff)
	}
}

// FuzzReferences checks that a text survives being escaped and expanded, whatever is in it, and that nothing but references is touched.
func FuzzReferences(f *testing.F) {
	for _, s := range []string{"", "$(HOST_NAME)", "$$(HOST_NAME)", "a$$$(HOST_LABEL_x)b", "$(HOST_", "$$(HOST_(HOST_)", "$(HOST_NAME$(HOST_NAME))", "$(HOSTNAME) ${A} %h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		value := func(name string) (string, error) { return "<" + name + ">", nil }
		if got, err := substitute(escape(text), value); err != nil || got != text {
			t.Errorf("%q became %q, %v", text, got, err)
		}
		got, err := substitute(text, value)
		if err == nil && !refers(text) && got != text {
			t.Errorf("%q became %q, and there is no reference in it", text, got)
		}
	})
}

// FuzzHostWord checks that what is taken for a host is one that is written out again in the same parts, and holds nothing that a program could misread.
func FuzzHostWord(f *testing.F) {
	for _, s := range []string{"gpu-1", "root@10.0.0.1:22", "[fd00::1]:22", "fe80::1%eth0", "a@b@c", "-oProxyCommand=x", "x@-y", "[::1]", "a:b", "", "@", "a@", "a:", "ü.example", "[@10.0.0.1:2", "::1%et["} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		w, err := parseHostWord(text)
		if err != nil {
			return
		}
		if w.address == "" || w.address[0] == '-' || strings.HasPrefix(w.user, "-") || strings.ContainsAny(text, " \t\n\x00\x1b'\"\\$`;|&<>") {
			t.Errorf("%q is taken for %+v", text, w)
		}
		whole := w.address
		if isAddress(whole) && strings.Contains(text[strings.LastIndexByte(text, '@')+1:], "[") {
			whole = "[" + whole + "]"
		}
		if w.user != "" {
			whole = w.user + "@" + whole
		}
		if w.port != "" {
			whole += ":" + w.port
		}
		if whole != text {
			t.Errorf("%q is taken for %q", text, whole)
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
	other.Spec.programDefaults()
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

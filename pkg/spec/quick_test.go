package spec

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// show writes a node with all that it is, for comparison.
func (n *node) show(b *strings.Builder, depth int) {
	if n == nil {
		fmt.Fprintf(b, "%*snil\n", 2*depth, "")
		return
	}
	fmt.Fprintf(b, "%*s%d:%d kind %d tag %d quoted %t %q\n", 2*depth, "", n.line, n.column, n.kind, n.tag, n.quoted, n.value)
	for c := n.first; c != nil; c = c.next {
		c.show(b, depth+1)
	}
}

func shownNodes(nodes ...*node) string {
	var b strings.Builder
	for _, n := range nodes {
		n.show(&b, 0)
	}
	return b.String()
}

// compareQuick reads text quickly and with the YAML library, and says whether it was read quickly.
func compareQuick(t *testing.T, text string) bool {
	t.Helper()
	quick, ok := quickNodes(text, 7)
	if !ok {
		return false
	}
	slow, err := yamlNodes(document{[]byte(text), 7})
	if err != nil {
		t.Errorf("%q is read quickly, and is an error: %v", text, err)
		return true
	}
	if diff := cmp.Diff(shownNodes(slow...), shownNodes(quick)); diff != "" {
		t.Errorf("%q: -YAML +quick:\n%s", text, diff)
	}
	return true
}

// TestWhatIsPlainIsReadQuickly says for what the shortcut is taken.
func TestWhatIsPlainIsReadQuickly(t *testing.T) {
	for _, text := range []string{
		"a: b", "a: b\n", "---\na: b\n", "# c\n\n---\n# c\na: b # c\n", "a:\n  b:\n    c: d\n  e: f\ng: h\n", "a:\n- b\n- c\nd: e\n", "a:\n  - b\n  - c\n",
		"a:\n  - b: c\n    d: e\n  - b: f\n", "a:\n  -\n    b: c\n  -  b: c\n     d: e\n", "a: []\nb: {}\n", "a: [b, 'c', \"d\", 5]\n", "a: {b: c, d: [e, {f: g}]}\n", "a: \"b: c # d\"  # e\n", "a: 'b'\n",
		"a: /usr/bin/x\nb: --port\nc: -x\nd: 10s\ne: 4G\nf: 200%\ng: ../x\nh: a b  c\ni: http://localhost:8080/x?y#z\nj: $HOME (x) a,b\n", "a: true\nb: false\nc: null\nd:\ne: 0\nf: 123\n",
		"a/b.c-d_e: x\n", "a:\n# c\n  b: c\n  # c\n\n# c\n  d: e\n", "a:   b   \n", "- a\n- b: c\n", "a:\n  - []\n  - [b]\n", "a: y\nb: yes\n", "a:\n  - \n  - b\n", "a: [ b , c ]\n", "  a: b\n", "a:  \nb:   # c\n", "1: a\ntrue: b\nnull: c\n", "a: {}   # c\n", "a.b: c\n", "a: []\n\n\n",
	} {
		if !compareQuick(t, text) {
			t.Errorf("%q is not read quickly", text)
		}
	}
}

// TestWhatIsNotPlainIsLeftToTheLibrary says for what it is not taken: all that is rare, and all that is wrong.
func TestWhatIsNotPlainIsLeftToTheLibrary(t *testing.T) {
	for _, text := range []string{
		"", "# c\n", "---\n", "a", "- \n...\n", "a: b\n---\nc: d\n", "a: b\n...\n", "--- a\n", "%YAML 1.2\n---\na: b\n", "a: |\n  b\n", "a: >\n  b\n", "a: &x b\n", "a: *x\n", "a: !x b\n", "<<: b\n", "a: <<\n", "? a\n: b\n",
		"a: b\n  c\n", "a: b\n c: d\n", "a:\n   b: c\n  d: e\n", "a: \"b\n  c\"\n", "a: \"b\\n\"\n", "a: 'b''c'\n", "a: \"b\" c\n", "a: \"b\"#c\n", "a: b: c\n", "a: b:\n", "a:b\n", "a: 'b\n", "a: [b\n", "a: [b,\n c]\n",
		"a: [b, ]\n", "a: [,]\n", "a: [b c: d]\n", "a: [b]]\n", "a: {b}\n", "a: {b:c}\n", "a: {b: }\n", "a: {\"b\": c}\n", "a: [http://x]\n", "a: ]\n", "a: }\n", "a: ,\n", "a: - b\n", "a: -\n", "a: #b\n c", "\ta: b\n", "a:\tb\n", "a: b\r\n", "é: a\n", "a: é\n",
		"a: 1.5\n", "a: 0x1F\n", "a: 017\n", "a: 1e3\n", "a: 1_000\n", "a: .5\n", "a: .inf\n", "a: -1\n", "a: +1\n", "a: -.inf\n", "a: 2001-01-01\n", "a: 1:30\n", "a: ~\n", "a: True\n", "a: NULL\n", "a: =\n", "a: 10.0.0.1\n", "-: a\n", "a: @b\n", "a: `b\n", "a: %b\n",
		"a:\n- b\n c\n", "a:\n- b\n  - c\n", "- - a\n", "a:\n  b\n", "a: b\n- c\n", "- a\nb: c\n", "a: " + strings.Repeat("[", 100) + strings.Repeat("]", 100) + "\n", strings.Repeat("- ", 100) + "a\n", "a:\x00\n", "a: b\x7f\n", "a: 12345678901234567890\n", strings.Repeat("a", 1030) + ": b\n",
	} {
		if n, ok := quickNodes(text, 0); ok {
			t.Errorf("%q is read quickly, as\n%s", text, shownNodes(n))
		}
	}
}

// FuzzQuick checks that the shortcut reads what the YAML library reads, with the same places.
func FuzzQuick(f *testing.F) {
	f.Add(fmt.Sprintf(webManifest, 1))
	files, err := sourceFiles("testdata/good", false)
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	f.Add("a:\n- b: c\n  d: [e, {f: 'g'}]\n-\n  h: \"i\" # j\nk: l m\n")
	f.Fuzz(func(t *testing.T, text string) { compareQuick(t, text) })
}

// TestManifestsAreReadQuickly checks that the shortcut is taken for what the speed of the whole depends on.
func TestManifestsAreReadQuickly(t *testing.T) {
	if !compareQuick(t, fmt.Sprintf(webManifest, 1)) {
		t.Error("the manifest of the benchmark is not read quickly")
	}
}

// TestQuickAgreesOnEveryShortText compares the two on every text that few pieces of YAML make.
func TestQuickAgreesOnEveryShortText(t *testing.T) {
	quickly := 0
	var grow func(text string, pieces []string, more int)
	grow = func(text string, pieces []string, more int) {
		if compareQuick(t, text) {
			quickly++
		}
		for _, p := range pieces {
			if more > 0 && !t.Failed() {
				grow(text+p, pieces, more-1)
			}
		}
	}
	grow("", []string{"a:", "a", " ", "\n", "- ", "-", "[", "]", "{", "}", ", ", " #", "\"b\"", "'", "1", ":"}, 3)
	grow("", []string{"a: ", "b", "  ", "\n", "- ", " ", "#", "[b, c]", "a:"}, 4)
	if quickly < 100 {
		t.Errorf("only %d texts were read quickly: this tests nothing", quickly)
	}
}

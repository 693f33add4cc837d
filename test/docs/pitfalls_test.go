package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// proof names a test, FILE:TestName, or a case of the conformance suite, FILE:the case's name.
var proof = regexp.MustCompile("`([a-z0-9_/]+\\.go):([^`]+)`")

// TestPitfallsAreShown: whatever docs/pitfalls.md says to hold names tests, and each of them exists.
func TestPitfallsAreShown(t *testing.T) {
	rows := pitfalls(t, "../../docs/pitfalls.md")
	if len(rows) < 30 {
		t.Errorf("there are only %d rows: is the table gone?", len(rows))
	}
	for what, shown := range rows {
		proofs := proof.FindAllStringSubmatch(shown, -1)
		if len(proofs) == 0 {
			t.Errorf("%q names no test", what)
		}
		if rest := strings.Trim(proof.ReplaceAllString(shown, ""), ", "); rest != "" {
			t.Errorf("%q names something that is no test: %s", what, rest)
		}
		for _, p := range proofs {
			if err := exists(p[1], p[2]); err != "" {
				t.Errorf("%q: %s:%s: %s", what, p[1], p[2], err)
			}
		}
	}
}

// pitfalls returns the rows of the table, what goes wrong to what shows that it doesn't.
func pitfalls(t *testing.T, path string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") || strings.HasPrefix(line, "| What goes wrong") {
			continue
		}
		if len(cells) != 3 {
			t.Errorf("%d cells in %q", len(cells), line)
			continue
		}
		rows[strings.TrimSpace(cells[0])] = strings.TrimSpace(cells[2])
	}
	return rows
}

// exists says what is wrong with a proof, empty where it is there.
func exists(file, name string) string {
	text, err := os.ReadFile(filepath.Join("../..", file))
	if err != nil {
		return err.Error()
	}
	head := "func " + name + "(t *testing.T)"
	if strings.HasPrefix(name, "Fuzz") {
		head = "func " + name + "(f *testing.F)"
	}
	if strings.HasPrefix(file, "pkg/drivers/driverstest/cases_") {
		head = `{"` + name + `", func(b *bench)`
	} else if !strings.HasSuffix(file, "_test.go") {
		return "no test file"
	}
	if !strings.Contains(string(text), head) {
		return "there is no such test"
	}
	return ""
}

func TestWhatDoesNotExistIsSeen(t *testing.T) {
	for _, c := range []struct {
		file, name string
		want       string
	}{
		{"test/docs/pitfalls_test.go", "TestPitfallsAreShown", ""},
		{"pkg/drivers/driverstest/cases_stop.go", "again is done", ""},
		{"pkg/drivers/driverstest/cases_stop.go", "again is don", "no such test"},
		{"test/docs/pitfalls_test.go", "TestPitfallsAre", "no such test"},
		{"test/docs/nothing_test.go", "TestPitfallsAreShown", "no such file"},
		{"test/docs/doc.go", "TestPitfallsAreShown", "no test file"},
	} {
		if got := exists(c.file, c.name); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s:%s: %q, want %q", c.file, c.name, got, c.want)
		}
	}
}

package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// recorded are the ways in which the code says what is recorded.
var recorded = []*regexp.Regexp{
	regexp.MustCompile(`\.(?:inform|warn)\([^,]+, "([A-Za-z]+)"`),
	regexp.MustCompile(`spec\.Event\{.*Reason: "([A-Za-z]+)"`),
	regexp.MustCompile(`recordHost\([^,]+, "[A-Za-z]+", "([A-Za-z]+)"`),
	regexp.MustCompile(`return "(Host[A-Za-z]+)"`),
	regexp.MustCompile(`reason :?= "([A-Za-z]+)"`),
}

// TestReasonsAreDocumented: docs/events.md has each reason that is recorded, and no other.
func TestReasonsAreDocumented(t *testing.T) {
	var code []string
	for _, pattern := range []string{"../../pkg/reconcile/*.go", "../../cmd/reconciler/caring.go", "../../cmd/reconciler/timeline.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(f, "_test.go") {
				continue
			}
			for _, how := range recorded {
				for _, m := range how.FindAllStringSubmatch(string(text), -1) {
					code = append(code, m[1])
				}
			}
			_, done, _ := strings.Cut(string(text), "\tdone = map[spec.Verb]string{") // what steps that are done are called
			done, _, _ = strings.Cut(done, "\n\t}")
			for _, m := range regexp.MustCompile(`: "([A-Za-z]+)"`).FindAllStringSubmatch(done, -1) {
				code = append(code, m[1])
			}
		}
	}
	text, err := os.ReadFile("../../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(line, "|"); len(cells) == 5 && !strings.Contains(cells[1], "…") {
			for _, m := range regexp.MustCompile("`([A-Za-z]+)`").FindAllStringSubmatch(cells[1], -1) {
				documented = append(documented, m[1])
			}
		}
	}
	slices.Sort(code)
	slices.Sort(documented)
	if d := cmp.Diff(slices.Compact(code), documented); d != "" || len(code) < 20 {
		t.Errorf("recorded (-) and documented (+): %s", d)
	}
}

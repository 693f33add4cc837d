package page

import (
	"strings"
	"testing"
)

// TestAnEndlessLineIsNoEmptyLog: the end of it is shown, and that it is cut.
func TestAnEndlessLineIsNoEmptyLog(t *testing.T) {
	for _, end := range []string{"", "\n", "\nlast\n"} {
		var w tail
		_, _ = w.Write([]byte(strings.Repeat("x", 3*logShown) + end))
		l := logOf(&w, nil)
		if want := strings.TrimSpace(end); len(l.Lines) != 1 || !l.Cut || want != "" && l.Lines[0].Text != want || want == "" && !strings.HasPrefix(l.Lines[0].Text, "xxx") {
			t.Errorf("of a line that ends with %q: %d lines, cut: %v", end, len(l.Lines), l.Cut)
		}
	}
}

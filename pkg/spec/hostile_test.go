package spec

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestHostileDocumentsAreReadInTime feeds the loader documents of the largest size that are made to take long, or to take much memory.
func TestHostileDocumentsAreReadInTime(t *testing.T) {
	fill := func(before, piece, after string) string {
		return before + strings.Repeat(piece, (maxDocument-len(before)-len(after)-1)/len(piece)) + after
	}
	numbered := func(before, format string) string {
		b := strings.Builder{}
		b.WriteString(before)
		for i := 0; b.Len() < maxDocument-100; i++ {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	stairs := strings.Builder{}
	for i := range 1400 {
		stairs.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	for name, text := range map[string]string{
		"open brackets":          fill("", "[", ""),
		"open braces":            fill("", "{", ""),
		"open objects of JSON":   fill("", `{"a":`, ""),
		"lists in lists":         fill("", "- ", ""),
		"keys of keys":           fill("", "? ", ""),
		"keys in a row":          fill("", "a: ", ""),
		"an endless string":      fill("\"", "a\n", ""),
		"a long plain scalar":    fill("a: ", "b\n  ", ""),
		"comments":               fill("", "# c\n\n", "a: b"),
		"empty lines":            fill("", "\n", "a: b"),
		"anchors":                fill("", "&a ", ""),
		"aliases":                fill("a: &a b\nc: [", "*a, ", "*a]"),
		"one key again":          fill("", "a: b\n", ""),
		"many unknown fields":    numbered("", "k%d: v\n"),
		"many variables":         numbered(head+"  env:\n", "    k%d: v\n"),
		"many bad items":         fill(head+"  args:\n", "  - 1\n", ""),
		"many files of one name": fill(head+"  files:\n", "  - {path: /a, content: \"\"}\n", ""),
		"many dependencies":      fill(head+"  dependsOn:\n", "  - {name: web}\n", ""),
		"a deep stair":           stairs.String(),
		"a block of text":        fill("a: |\n", "  x\n", ""),
		"an escape":              fill("a: \"", `\u0061`, "\""),
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, err := Parse("f.yaml", []byte(text))
			if took := time.Since(start); took > time.Minute { // on a busy machine; what grows with the square would take hours
				t.Errorf("it took %v", took)
			}
			if err == nil && name != "many variables" {
				t.Error("there is no error")
			}
			if err != nil && strings.Count(err.Error(), "\n") > maxTold {
				t.Errorf("the message has %d lines", strings.Count(err.Error(), "\n"))
			}
		})
	}
}

// TestManyDaemonsThatWaitForEachOther checks that the search for cycles doesn't visit a daemon twice.
func TestManyDaemonsThatWaitForEachOther(t *testing.T) {
	var b strings.Builder
	for i := range 300 {
		b.WriteString(strings.Replace(head, "web", fmt.Sprintf("d%d", i), 1) + "  dependsOn:\n")
		for j := i + 1; j < 300; j++ {
			fmt.Fprintf(&b, "  - {name: d%d}\n", j)
		}
		b.WriteString("  - {name: end}\n---\n")
	}
	if _, err := Parse("f.yaml", []byte(b.String())); err != nil {
		t.Error(err)
	}
}

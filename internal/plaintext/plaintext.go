// Package plaintext makes text of unknown origin, such as what a daemon answered, fit to stand in a message: one line, bounded, and without anything
// that a terminal would obey. It changes nothing else.
package plaintext

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Line returns s as one line of at most limit runes, "…" included where it was cut. White space shrinks to single blanks; control and format characters, which
// could move a cursor or turn the direction of writing, and bytes that are no UTF-8 show as escapes (\x1b, \u202e).
func Line(s string, limit int) string {
	var b strings.Builder
	n, gap := 0, false
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		shown := visible(r, s[:size])
		s = s[size:]
		if unicode.IsSpace(r) {
			gap = n > 0
			continue
		}
		if gap {
			shown, gap = " "+shown, false
		}
		if n += utf8.RuneCountInString(shown); n > limit-1 && (n > limit || strings.TrimSpace(s) != "") {
			return b.String() + "…"
		}
		b.WriteString(shown)
	}
	return b.String()
}

// Verbatim is Line for one line of text in which blanks and tabs have a meaning: they stay. All else that isn't printable shows as an escape.
func Verbatim(s string, limit int) string {
	var b strings.Builder
	for n := 0; len(s) > 0; {
		r, size := utf8.DecodeRuneInString(s)
		shown := s[:size]
		if r != '\t' {
			shown = visible(r, shown)
		}
		s = s[size:]
		if n += utf8.RuneCountInString(shown); n > limit-1 && (n > limit || s != "") {
			return b.String() + "…"
		}
		b.WriteString(shown)
	}
	return b.String()
}

// visible is a rune as it may be shown; text is how it was written.
func visible(r rune, text string) string {
	switch {
	case r == utf8.RuneError && len(text) == 1:
		return fmt.Sprintf(`\x%02x`, text[0])
	case unicode.IsPrint(r):
		return text
	case r < 0x80:
		return fmt.Sprintf(`\x%02x`, r)
	}
	return fmt.Sprintf(`\u%04x`, r)
}

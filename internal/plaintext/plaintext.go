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
		shown := s[:size]
		s = s[size:]
		switch {
		case unicode.IsSpace(r):
			gap = n > 0
			continue
		case r == utf8.RuneError && size == 1:
			shown = fmt.Sprintf(`\x%02x`, shown[0])
		case !unicode.IsPrint(r) && r < 0x80:
			shown = fmt.Sprintf(`\x%02x`, r)
		case !unicode.IsPrint(r):
			shown = fmt.Sprintf(`\u%04x`, r)
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

package main

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// clean makes a text that a manifest or a daemon wrote safe for a terminal and for one cell of a table: what isn't printable (escape sequences, new lines,
// C1 controls, direction overrides, bytes that aren't UTF-8) is written as Go escapes it.
func clean(s string) string {
	if isClean(s, "") {
		return s
	}
	return string(appendClean(nil, s, ""))
}

// cleanLines is clean for text of several lines: new lines and tabs stay.
func cleanLines(s string) string {
	if isClean(s, "\n\t") {
		return s
	}
	return string(appendClean(nil, s, "\n\t"))
}

func isClean(s, keep string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; (c < ' ' || c > '~') && strings.IndexByte(keep, c) < 0 {
			return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !shows(r, keep) }) < 0
		}
	}
	return true
}

// plain is how many bytes at the beginning of s are printable ASCII.
func plain(s string) int {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return i
		}
	}
	return len(s)
}

func shows(r rune, keep string) bool { return unicode.IsPrint(r) || strings.ContainsRune(keep, r) }

func appendClean(b []byte, s, keep string) []byte {
	for len(s) > 0 {
		if n := plain(s); n > 0 {
			b, s = append(b, s[:n]...), s[n:]
			continue
		}
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			b = fmt.Appendf(b, `\x%02x`, s[0])
		case shows(r, keep):
			b = append(b, s[:n]...)
		default:
			b = append(b, bytes.Trim(strconv.AppendQuoteRune(nil, r), "'")...)
		}
		s = s[n:]
	}
	return b
}

// age writes a length of time as kubectl does: two units at most, and only one where the second says little.
func age(d time.Duration) string {
	d = max(d, 0)
	s, m, h, days := int(d.Seconds()), int(d.Minutes()), int(d.Hours()), int(d.Hours()/24)
	two := func(a int, unit string, b int, sub string) string {
		if b == 0 {
			return fmt.Sprintf("%d%s", a, unit)
		}
		return fmt.Sprintf("%d%s%d%s", a, unit, b, sub)
	}
	switch {
	case s < 120:
		return fmt.Sprintf("%ds", s)
	case m < 10:
		return two(m, "m", s%60, "s")
	case m < 180:
		return fmt.Sprintf("%dm", m)
	case h < 8:
		return two(h, "h", m%60, "m")
	case h < 48:
		return fmt.Sprintf("%dh", h)
	case days < 8:
		return two(days, "d", h%24, "h")
	case days < 2*365:
		return fmt.Sprintf("%dd", days)
	}
	return two(days/365, "y", days%365, "d")
}

// plural is "1 daemon", "2 daemons".
func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// firstLine is a text as a cell of a table has room for it.
func firstLine(s string) string {
	line, _, more := strings.Cut(s, "\n")
	if more {
		line += " ..."
	}
	return line
}

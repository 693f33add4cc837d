package plaintext

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestLine(t *testing.T) {
	for _, c := range []struct {
		name, in string
		limit    int
		want     string
	}{
		{"plain text stays", "not found", 20, "not found"},
		{"letters of any script stay", "größe 漢字", 20, "größe 漢字"},
		{"lines become one", "a\r\n\n b\tc \n", 20, "a b c"},
		{"escape sequences show", "\x1b[31mred\x1b[0m", 40, `\x1b[31mred\x1b[0m`},
		{"a bell and a delete show", "\a\x7f", 20, `\x07\x7f`},
		{"C1 controls show", "\u009b1m", 20, `\u009b1m`},
		{"the direction of writing can't be turned", "a\u202eb", 20, `a\u202eb`},
		{"bytes that are no UTF-8 show", "a\xff\xfeb", 20, `a\xff\xfeb`},
		{"NUL shows", "a\x00b", 20, `a\x00b`},
		{"a text that just fits isn't cut", "12345", 5, "12345"},
		{"trailing blanks don't count", "12345 \n", 5, "12345"},
		{"a longer one is", "123456", 5, "1234…"},
		{"an escape isn't cut in half", "123\x1b", 5, "123…"},
		{"nothing stays nothing", " \n", 5, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Line(c.in, c.limit); got != c.want {
				t.Errorf("Line(%q, %d) = %q, want %q", c.in, c.limit, got, c.want)
			}
		})
	}
}

func TestVerbatim(t *testing.T) {
	for _, c := range []struct {
		name, in string
		limit    int
		want     string
	}{
		{"blanks and tabs stay", "\ta  b ", 20, "\ta  b "},
		{"what isn't printable shows", "a\x1b[2J\rb\u202e\xff\n", 60, `a\x1b[2J\x0db\u202e\xff\x0a`},
		{"a text that just fits isn't cut", "12345", 5, "12345"},
		{"a longer one is", "12345 ", 5, "1234…"},
		{"an escape isn't cut in half", "123\x1b", 5, "123…"},
	} {
		if got := Verbatim(c.in, c.limit); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func FuzzLine(f *testing.F) {
	f.Add("a\x1b[2J\u202e\xff é", 7)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = 1 + max(0, limit%100)
		got := Line(s, limit)
		if n := utf8.RuneCountInString(got); n > limit {
			t.Errorf("%d runes, the limit is %d: %q", n, limit, got)
		}
		if strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) || !utf8.ValidString(got) {
			t.Errorf("%q isn't plain text", got)
		}
		got = Verbatim(s, limit)
		if n := utf8.RuneCountInString(got); n > limit || strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) && r != '\t' }) || !utf8.ValidString(got) {
			t.Errorf("%q isn't plain text of %d runes", got, limit)
		}
	})
}

package systemd

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// sort of value that a line of a unit file holds; they differ in what systemd expands in them. See systemd.syntax(7) and systemd.service(5), COMMAND LINES.
type kind int

const (
	// word is one of several in a line: unquoted, unescaped, its specifiers expanded.
	word kind = iota
	// argument is a word in which variables are expanded besides.
	argument
	// simpleWord is unquoted and its specifiers are expanded, but a backslash only takes the meaning from what follows.
	simpleWord
)

// quote writes s such that systemd reads exactly s. The caller made sure that s is carriable, and of a simpleWord that it is plain too.
func quote(s string, as kind) string {
	if s != "" && strings.Trim(s, bareword) == "" {
		return s
	}
	if as == simpleWord {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%").Replace(s) + `"`
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteByte(s[i])
		case r == '%', r == '$' && as == argument:
			b.WriteByte(s[i])
			b.WriteByte(s[i])
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	b.WriteByte('"')
	return b.String()
}

// bareword are the characters that mean nothing anywhere in a unit file.
const bareword = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./,:+=@-"

// whole writes a value that takes up the rest of its line, in which only specifiers are expanded. The caller made sure that s is plain and begins with no
// white space. What would end in a backslash, which continues a line, or in white space, which is cut off, is a path, and gets an end that means nothing.
func whole(s string) string {
	if last := s[len(s)-1]; last == '\\' || last == ' ' || last == '\t' {
		s += "/."
	}
	return strings.ReplaceAll(s, "%", "%%")
}

// carriable tells whether systemd takes s for text: UTF-8 without Unicode's noncharacters. Anything else would also not pass D-Bus, where the unit's properties are read.
func carriable(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if !character(r) {
			return false
		}
	}
	return true
}

// character tells whether r is none of the noncharacters (The Unicode Standard, 23.7), which systemd refuses.
func character(r rune) bool { return r&0xfffe != 0xfffe && (r < 0xfdd0 || r > 0xfdef) }

// plain tells whether s can stand in a line as it is, without escapes.
func plain(s string) bool { return carriable(s) && !strings.ContainsAny(s, "\n\r\x00") }

// controls tells whether s has control characters besides the tab and the newline: systemd refuses variables with those. See environ(7) of systemd, env_value_is_valid.
func controls(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' && r != '\n' || r == 0x7f })
}

// variable tells whether name can be that of a variable in a unit.
func variable(name string) bool {
	for i, c := range []byte(name) {
		letter := c == '_' || 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// quoteEnvFile writes a value for a file named by EnvironmentFile=, whose rules are a POSIX shell's, without its expansions: see systemd.exec(5).
func quoteEnvFile(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`").Replace(s) + `"`
}

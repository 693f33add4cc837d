package sshconfig

import (
	"errors"
	"strings"
)

const blanks = " \t\r\n"

// split returns the keyword of a line and what follows it. A line without one, as a comment, gives an empty keyword.
func split(text string) (word, rest string, err error) {
	text = strings.TrimRight(text, blanks+"\f")
	word, rest, err = cut(text)
	if word == "" && err == nil {
		word, rest, err = cut(rest)
	}
	if err != nil || word == "" || word[0] == '#' {
		return "", "", nil // ssh takes a quote that doesn't end, in a keyword, for an empty line
	}
	if rest = strings.TrimLeft(rest, blanks); rest == "" {
		return word, "", errors.New("no argument")
	}
	return word, rest, nil
}

var errQuotes = errors.New("a quote doesn't end")

// cut takes the first word off s: up to blanks, or to one "=" among them, or what a pair of double quotes holds, which ends the word.
func cut(s string) (word, rest string, err error) {
	end := strings.IndexAny(s, blanks+`"=`)
	if end < 0 {
		return s, "", nil
	}
	if s[end] == '"' {
		quoted, rest, ok := strings.Cut(s[end+1:], `"`)
		if !ok {
			return "", "", errQuotes
		}
		return s[:end] + quoted, strings.TrimLeft(rest, blanks), nil
	}
	word, rest = s[:end], strings.TrimLeft(s[end+1:], blanks)
	if s[end] != '=' && strings.HasPrefix(rest, "=") {
		rest = strings.TrimLeft(rest[1:], blanks)
	}
	return word, rest, nil
}

// arguments splits s at blanks that no quotes hold, up to a comment. A backslash takes the meaning from quotes and backslashes, and from blanks outside quotes.
func arguments(s string) ([]string, error) {
	var args []string
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case ' ', '\t':
			continue
		case '#':
			return args, nil
		}
		arg, n, err := argument(s[i:])
		if err != nil {
			return nil, err
		}
		args = append(args, arg)
		i += n
	}
	return args, nil
}

// argument reads one argument off the front of s, and returns how long it is there.
func argument(s string) (string, int, error) {
	var (
		b     strings.Builder
		quote byte
	)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && i+1 < len(s) && escapes(s[i+1], quote):
			i++
			b.WriteByte(s[i])
		case quote == 0 && (c == ' ' || c == '\t'):
			return b.String(), i, nil
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote != 0 && c == quote:
			quote = 0
		default:
			b.WriteByte(c)
		}
	}
	if quote != 0 {
		return "", 0, errQuotes
	}
	return b.String(), len(s), nil
}

func escapes(c, quote byte) bool {
	return c == '"' || c == '\'' || c == '\\' || c == ' ' && quote == 0
}

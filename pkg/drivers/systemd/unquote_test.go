package systemd

import (
	"errors"
	"strconv"
	"strings"
)

// What systemd makes of a line, as systemd.syntax(7), systemd.unit(5) SPECIFIERS, systemd.service(5) COMMAND LINES and systemd.exec(5) EnvironmentFile= have it. It is written
// from those, and not from quote.go.

// splitWords splits a line into its words: quotes are taken off and, unless simple, escapes replaced, else a backslash taken off.
func splitWords(line string, simple bool) (words []string, err error) {
	for {
		line = strings.TrimLeft(line, " \t")
		if line == "" {
			return words, nil
		}
		if line == ";" || strings.HasPrefix(line, "; ") {
			return nil, errors.New("an unquoted ; ends the command")
		}
		var w string
		if w, line, err = firstWord(line, simple); err != nil {
			return nil, err
		}
		words = append(words, w)
	}
}

func firstWord(line string, simple bool) (w, rest string, err error) {
	var b strings.Builder
	var quote byte
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\' && simple:
			if i++; i == len(line) {
				return "", "", errors.New("a backslash ends the line, which goes on in the next")
			}
			b.WriteByte(line[i])
		case c == '\\':
			n, s, err := unescape(line[i+1:])
			if err != nil {
				return "", "", err
			}
			b.WriteString(s)
			i += n
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote == 0 && (c == ' ' || c == '\t'):
			return b.String(), line[i:], nil
		default:
			b.WriteByte(c)
		}
	}
	if quote != 0 {
		return "", "", errors.New("a quote isn't closed")
	}
	return b.String(), "", nil
}

// unescape replaces what follows a backslash, of which it takes n bytes.
func unescape(s string) (n int, to string, err error) {
	simple := map[byte]string{'a': "\a", 'b': "\b", 'f': "\f", 'n': "\n", 'r': "\r", 't': "\t", 'v': "\v", '\\': `\`, '"': `"`, '\'': "'", 's': " "}
	if s == "" {
		return 0, "", errors.New("a backslash ends the line, which goes on in the next")
	}
	if to, ok := simple[s[0]]; ok {
		return 1, to, nil
	}
	if s[0] == 'x' && len(s) >= 3 {
		v, err := strconv.ParseUint(s[1:3], 16, 8)
		return 3, string([]byte{byte(v)}), err
	}
	return 0, "", errors.New("an escape that systemd doesn't know")
}

// doubled undoes the doubling of a character that means something when it stands alone.
func doubled(s, c string) (string, error) {
	halves := strings.Split(s, c+c)
	for _, h := range halves {
		if strings.Contains(h, c) {
			return "", errors.New("a single " + c)
		}
	}
	return strings.Join(halves, c), nil
}

// readCommand is what systemd executes: path, argv.
func readCommand(line string) (path string, argv []string, err error) {
	words, err := splitWords(line, false)
	if err != nil {
		return "", nil, err
	}
	for i, w := range words {
		if words[i], err = doubled(w, "%"); err != nil {
			return "", nil, err
		}
	}
	path, apart := strings.CutPrefix(words[0], "@")
	if apart {
		words = words[1:]
	} else if strings.Contains(path, "$") {
		return "", nil, errors.New("a $ in what is both path and argument")
	}
	for i := range words {
		if apart || i > 0 {
			if words[i], err = doubled(words[i], "$"); err != nil {
				return "", nil, err
			}
		}
	}
	if !apart {
		words[0] = path
	}
	return path, words, nil
}

// readPath reads a path that is a line's whole value: one that ends in a dot for a folder is the folder.
func readPath(line string) (string, error) {
	if strings.HasSuffix(line, `\`) {
		return "", errors.New("a backslash ends the line, which goes on in the next")
	}
	p, err := doubled(strings.Trim(line, " \t\n\r"), "%")
	return strings.TrimSuffix(p, "/."), err
}

// readEnvFile reads a file of variables, all in double quotes.
func readEnvFile(text string) (vars map[string]string, err error) {
	vars = map[string]string{}
	for text != "" {
		name, rest, ok := strings.Cut(text, "=\"")
		if !ok {
			return nil, errors.New("no quote follows the =")
		}
		var b strings.Builder
		i := 0
		for ; i < len(rest) && rest[i] != '"'; i++ {
			if rest[i] == '\\' {
				i++
				if i == len(rest) || !strings.ContainsRune("\"\\$`", rune(rest[i])) {
					return nil, errors.New("an escape that a shell doesn't know")
				}
			} else if rest[i] == '$' || rest[i] == '`' {
				return nil, errors.New("a shell would expand it")
			}
			b.WriteByte(rest[i])
		}
		if !strings.HasPrefix(rest[i:], "\"\n") {
			return nil, errors.New("a quote isn't closed")
		}
		vars[name], text = b.String(), rest[i+2:]
	}
	return vars, nil
}

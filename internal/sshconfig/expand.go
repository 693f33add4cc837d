package sshconfig

import (
	"fmt"
	"strings"
)

// Tilde replaces a ~ or ~USER at the front of a file's name by that home.
func (c Context) Tilde(name string) (string, error) {
	if !strings.HasPrefix(name, "~") {
		return name, nil
	}
	user, rest, _ := strings.Cut(name[1:], "/")
	home := c.Home
	if user != "" {
		ok := false
		if c.HomeOf != nil {
			home, ok = c.HomeOf(user)
		}
		if !ok {
			return "", fmt.Errorf("%s: there is no user %s", name, user)
		}
	}
	return strings.TrimSuffix(home, "/") + "/" + strings.TrimLeft(rest, "/"), nil
}

// expand replaces a ~ at the front, ${NAME} of the environment, and the tokens.
func (c Context) expand(s string, tokens map[byte]string) (string, error) {
	s, err := c.Tilde(s)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if !strings.HasPrefix(s[i:], "${") {
			n, err := token(&b, s, i, tokens)
			if err != nil {
				return "", err
			}
			i += n
			continue
		}
		name, _, ended := strings.Cut(s[i+2:], "}")
		if !ended || name == "" {
			return "", fmt.Errorf("%s: ${ isn't followed by a name and }", s)
		}
		value, ok := c.env(name)
		if !ok {
			return "", fmt.Errorf("%s: the environment has no %s", s, name)
		}
		b.WriteString(value)
		i += len(name) + 2
	}
	return b.String(), nil
}

func (c Context) env(name string) (string, bool) {
	if c.LookupEnv == nil {
		return "", false
	}
	return c.LookupEnv(name)
}

// percent replaces the tokens.
func percent(s string, tokens map[byte]string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		n, err := token(&b, s, i, tokens)
		if err != nil {
			return "", err
		}
		i += n
	}
	return b.String(), nil
}

// token writes the byte s[i], or the token that begins there, and returns how many more bytes of s it took.
func token(b *strings.Builder, s string, i int, tokens map[byte]string) (int, error) {
	if s[i] != '%' {
		b.WriteByte(s[i])
		return 0, nil
	}
	if i+1 == len(s) {
		return 0, fmt.Errorf("%s: it ends in the middle of a token", s)
	}
	if s[i+1] == '%' {
		b.WriteByte('%')
		return 1, nil
	}
	value, ok := tokens[s[i+1]]
	if !ok {
		return 0, fmt.Errorf("%s: %%%c isn't a token that can stand here", s, s[i+1])
	}
	b.WriteString(value)
	return 1, nil
}

package sshconfig

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// String writes a hop as ParseHop reads it.
func (h Hop) String() string {
	s := h.Host
	if strings.Contains(s, ":") {
		s = "[" + s + "]"
	}
	if h.User != "" {
		s = h.User + "@" + s
	}
	if h.Port != 0 {
		s += ":" + strconv.Itoa(h.Port)
	}
	return s
}

// ParseHop reads one host as ProxyJump takes it: [USER@]HOST[:PORT], with brackets around an IPv6 address, or ssh://[USER@]NAME[:PORT].
func ParseHop(s string) (Hop, error) {
	if rest, isURI := strings.CutPrefix(s, "ssh://"); isURI {
		return parseURI(s, rest)
	}
	if strings.ContainsAny(s, blanks+`"'\`) {
		return Hop{}, fmt.Errorf("%q isn't a host: blanks and quotes can't be in it", s)
	}
	return parseHop(s, s)
}

func parseURI(whole, s string) (Hop, error) {
	user, host, hasUser := strings.Cut(s, "@")
	if !hasUser {
		user, host = "", s
	}
	user, _, _ = strings.Cut(user, ";")
	user, err := url.PathUnescape(user)
	if err != nil || hasUser && user == "" {
		return Hop{}, fmt.Errorf("%q isn't a host: its user is none", whole)
	}
	if strings.ContainsAny(host, "[]@") {
		return Hop{}, fmt.Errorf("%q isn't a host: after ssh:// it has to be a name; write [USER@][ADDRESS][:PORT]", whole)
	}
	h, err := parseHop(whole, strings.TrimSuffix(host, "/"))
	h.User = user
	return h, err
}

// parseHop reads s, which is whole or the end of it.
func parseHop(whole, s string) (h Hop, err error) {
	if at := strings.LastIndexByte(s, '@'); at >= 0 {
		if h.User = s[:at]; at == 0 {
			return h, fmt.Errorf("%q isn't a host: the user before the @ is missing", whole)
		}
		s = s[at+1:]
	}
	var number string
	if end := strings.IndexByte(s, ']'); end > 0 && s[0] == '[' {
		h.Host, number = s[1:end], s[end+1:]
	} else {
		end := strings.IndexAny(s+":", ":/")
		h.Host, number = s[:end], s[end:]
	}
	if h.Host == "" || number != "" && number[0] != ':' && number[0] != '/' {
		return h, fmt.Errorf("%q isn't a host: [USER@]HOST[:PORT], with brackets around an IPv6 address", whole)
	}
	if len(number) > 1 {
		if h.Port, err = port(number[1:]); err != nil {
			return h, fmt.Errorf("%q isn't a host: %w", whole, err)
		}
	}
	return h, nil
}

// ParseHops reads the argument of ProxyJump, a list with commas, up to a comment; "none" gives nil.
func ParseHops(rest string) ([]Hop, error) {
	rest, _, _ = strings.Cut(rest, "#")
	rest = strings.TrimRight(rest, blanks)
	if strings.EqualFold(rest, "none") {
		return nil, nil
	}
	var list []Hop
	for s := range strings.SplitSeq(rest, ",") {
		h, err := ParseHop(s)
		if err != nil {
			return nil, err
		}
		list = append(list, h)
	}
	return list, nil
}

package sshconfig

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// matchPattern is the PATTERNS of ssh_config(5): * for any characters, ? for one.
func matchPattern(s, pattern string) bool {
	// after is what follows the last * that was passed, and from where in s it was tried.
	after, from, i, p := -1, 0, 0, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			p++
			after, from = p, i
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			i, p = i+1, p+1
		case after >= 0:
			from++
			i, p = from, after
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// matchList matches a list of patterns with commas between them: 1 where one does, -1 where one does that has a "!" before it, else 0.
func matchList(s, patterns string) int {
	result := 0
	for p := range strings.SplitSeq(patterns, ",") {
		p, negated := strings.CutPrefix(p, "!")
		if !matchPattern(s, p) {
			continue
		}
		if negated {
			return -1
		}
		result = 1
	}
	return result
}

// names are what a host is called: the lines that speak of one of them speak of it.
type names []string

// listed says whether a list of patterns names the host: one of its patterns does, and none with a "!" does.
func (n names) listed(patterns string) bool {
	found := false
	for _, name := range n {
		switch matchList(name, patterns) {
		case -1:
			return false
		case 1:
			found = true
		}
	}
	return found
}

func (n names) lower() names {
	low := make(names, len(n))
	for i, name := range n {
		low[i] = strings.ToLower(name)
	}
	return low
}

// hostLine says whether the patterns of a Host line name the host.
func (n names) hostLine(patterns []string) bool {
	found := false
	for _, p := range patterns {
		p, negated := strings.CutPrefix(p, "!")
		if !slices.ContainsFunc(n, func(name string) bool { return matchPattern(name, p) }) {
			continue
		}
		if negated {
			return false
		}
		found = true
	}
	return found
}

// criterion is one condition of a Match line.
type criterion struct {
	name    string // in lower case
	negated bool
	arg     string
}

// criteria reads a Match line. Where a criterion isn't known it is the last one: what follows it can't be told.
func criteria(rest string) (list []criterion, err error) {
	for rest != "" {
		var name string
		if name, rest, err = cut(rest); err != nil || name == "" || name[0] == '#' {
			break
		}
		name, negated := strings.CutPrefix(name, "!")
		c := criterion{name: strings.ToLower(name), negated: negated}
		switch c.name {
		case "all":
			if len(list) > 1 || rest != "" && rest[0] != '#' {
				return nil, errors.New("all can't stand with other criteria")
			}
			return append(list, c), nil
		case "canonical", "final":
			list = append(list, c)
			continue
		case "host", "originalhost", "user", "localuser", "exec":
		default:
			return append(list, c), nil
		}
		if c.arg, rest, err = cut(rest); err != nil || c.arg == "" || c.arg[0] == '#' {
			return nil, fmt.Errorf("%s has no argument", name)
		}
		list = append(list, c)
	}
	if err == nil && len(list) == 0 {
		err = errors.New("it has no criteria")
	}
	return list, err
}

package spec

import (
	"fmt"
	"slices"
	"strings"
)

// Selector chooses daemons by their labels. The zero Selector matches all. It is safe for concurrent use.
type Selector struct{ terms []term }

// term is one requirement: with not, that the label has none of the values (or isn't there); else that it has one of them. Without values
// it is about whether the label is there at all.
type term struct {
	key    string
	values []string
	not    bool
}

// ParseSelector reads a selector as kubectl has it: terms with commas between them, all of which must hold, each of the form
// KEY=VALUE, KEY==VALUE, KEY!=VALUE, KEY in (A, B), KEY notin (A, B), KEY or !KEY.
func ParseSelector(text string) (Selector, error) {
	var s Selector
	more := strings.TrimSpace(text) != ""
	for rest := text; more; {
		var one string
		one, rest, more = cutTerm(rest)
		t, err := parseTerm(strings.TrimSpace(one))
		if err != nil {
			return Selector{}, fmt.Errorf("parse selector %q: %w", text, err)
		}
		s.terms = append(s.terms, t)
	}
	return s, nil
}

// cutTerm cuts at the first comma that is not in parentheses.
func cutTerm(s string) (one, rest string, more bool) {
	depth := 0
	for i, c := range s {
		switch {
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == ',' && depth <= 0:
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}

func parseTerm(s string) (term, error) {
	var t term
	switch words := strings.Fields(strings.Replace(s, "(", " (", 1)); {
	case strings.HasPrefix(s, "!") && !strings.Contains(s, "="):
		t = term{key: strings.TrimSpace(s[1:]), not: true}
	case strings.ContainsRune(s, '=') && !strings.ContainsRune(s, '('):
		key, value, _ := strings.Cut(s, "=")
		key, t.not = strings.CutSuffix(key, "!")
		t.key, t.values = strings.TrimSpace(key), []string{strings.TrimSpace(strings.TrimPrefix(value, "="))}
	case len(words) > 1 && (words[1] == "in" || words[1] == "notin"):
		list := strings.TrimSpace(s[strings.Index(s, words[1])+len(words[1]):])
		if i := strings.IndexByte(s, '('); i >= 0 {
			list = strings.TrimSpace(s[i:])
		}
		if !strings.HasPrefix(list, "(") || !strings.HasSuffix(list, ")") {
			return term{}, fmt.Errorf("%q has no list: write %s %s (A, B)", s, words[0], words[1])
		}
		t = term{key: words[0], not: words[1] == "notin"}
		for v := range strings.SplitSeq(list[1:len(list)-1], ",") {
			t.values = append(t.values, strings.TrimSpace(v))
		}
	default:
		t.key = s
	}
	return t, t.check(s)
}

func (t term) check(text string) error {
	_, word, two := strings.Cut(t.key, "/")
	if !two {
		word = t.key
	}
	if !isLabelWord(word) {
		return fmt.Errorf("%q is no term: write KEY=VALUE, KEY!=VALUE, KEY in (A, B), KEY notin (A, B), KEY or !KEY", text)
	}
	for _, v := range t.values {
		if v != "" && !isLabelWord(v) {
			return fmt.Errorf("%q can't be the value of a label", v)
		}
	}
	return nil
}

// Matches says whether labels satisfy every term. A label that isn't there satisfies != and notin.
func (s Selector) Matches(labels map[string]string) bool {
	for _, t := range s.terms {
		value, there := labels[t.key]
		if holds := there && (t.values == nil || slices.Contains(t.values, value)); holds == t.not {
			return false
		}
	}
	return true
}

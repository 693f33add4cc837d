package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// reference begins what is expanded.
const reference = "$(HOST_"

// substitute replaces the references in a text: $(HOST_NAME) by value("NAME"). Two $ in a row before (HOST_ are one $ of the text, so that $$(HOST_NAME) is
// the text $(HOST_NAME). All else stays as it is.
func substitute(text string, value func(name string) (string, error)) (string, error) {
	var b strings.Builder
	for {
		at := strings.Index(text, reference)
		if at < 0 {
			b.WriteString(text)
			return b.String(), nil
		}
		before := strings.TrimRight(text[:at], "$")
		dollars := at - len(before) + 1
		b.WriteString(before)
		b.WriteString(strings.Repeat("$", dollars/2))
		text = text[at+len(reference):]
		if dollars%2 == 0 {
			b.WriteString(reference[1:])
			continue
		}
		name, rest, closed := strings.Cut(text, ")")
		if !closed {
			return "", fmt.Errorf("%.40q has no closing ): %s", reference+text, howToEscape)
		}
		v, err := value(name)
		if err != nil {
			return "", err
		}
		b.WriteString(v)
		text = rest
	}
}

const howToEscape = "write $$(HOST_ for that text itself"

// escape is the text that substitute makes text of, whatever is in it.
func escape(text string) string {
	var b strings.Builder
	for {
		at := strings.Index(text, reference)
		if at < 0 {
			b.WriteString(text)
			return b.String()
		}
		before := strings.TrimRight(text[:at], "$")
		b.WriteString(before)
		b.WriteString(strings.Repeat("$", 2*(at-len(before)+1)))
		b.WriteString(reference[1:])
		text = text[at+len(reference):]
	}
}

func refers(text string) bool { return strings.Contains(text, reference) }

// notation is how a text in which references are expanded is written.
type notation int

const (
	plainText notation = iota
	urlText
	addressText // HOST:PORT
)

// rewrite replaces each text that has a reference in it, in a field where those are expanded, by what do returns. What s points to is copied first.
func (s *Spec) rewrite(do func(field string, n notation, text string) string) {
	if slices.ContainsFunc(s.Args, refers) {
		s.Args = slices.Clone(s.Args)
		for i, arg := range s.Args {
			if refers(arg) {
				s.Args[i] = do(fmt.Sprintf("spec.args[%d]", i), plainText, arg)
			}
		}
	}
	s.rewriteEnv(do)
	one := func(field string, n notation, text *string) {
		if refers(*text) {
			*text = do(field, n, *text)
		}
	}
	if s.Health != nil && (refers(s.Health.URL) || refers(s.Health.TCP)) {
		h := *s.Health
		s.Health = &h
		one("spec.health.url", urlText, &h.URL)
		one("spec.health.tcp", addressText, &h.TCP)
	}
	if s.Metrics != nil && refers(s.Metrics.URL) {
		m := *s.Metrics
		s.Metrics = &m
		one("spec.metrics.url", urlText, &m.URL)
	}
	one("spec.stop.url", urlText, &s.Stop.URL)
	if s.Reload != nil {
		s.rewriteReload(one)
	}
}

func (s *Spec) rewriteReload(one func(field string, n notation, text *string)) {
	r := *s.Reload
	s.Reload = &r
	one("spec.reload.url", urlText, &r.URL)
	if r.Expect != nil {
		e := *r.Expect
		r.Expect = &e
		one("spec.reload.expect.url", urlText, &e.URL)
	}
}

func (s *Spec) rewriteEnv(do func(field string, n notation, text string) string) {
	var names []string
	for name, e := range s.Env {
		if e.Value != nil && refers(*e.Value) {
			names = append(names, name)
		}
	}
	if names == nil {
		return
	}
	s.Env = maps.Clone(s.Env)
	slices.Sort(names)
	for _, name := range names {
		e := s.Env[name]
		text := do("spec.env["+name+"]", plainText, *e.Value)
		e.Value = &text
		s.Env[name] = e
	}
}

// Unplaced is a spec as a manifest says it: Place makes s of it again, on any host.
func Unplaced(s Spec) Spec {
	s.rewrite(func(_ string, _ notation, text string) string { return escape(text) })
	return s
}

package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// facts are what $(HOST_...) stands for on one host.
type facts struct {
	name, address string
	labels        map[string]string
}

func factsOf(host string, declared *HostManifest) facts {
	if declared != nil {
		return facts{declared.Metadata.Name, declared.address(), declared.Metadata.Labels}
	}
	if host == "" {
		host = "localhost"
	}
	w, err := parseHostWord(host)
	if err != nil {
		w.address = host
	}
	return facts{name: host, address: w.address}
}

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

// EscapeHost is the text that Place makes text of: a manifest that holds it means text, whatever is in it.
func EscapeHost(text string) string {
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

// value is what a reference stands for.
func (f facts) value(name string) (string, error) {
	label, isLabel := strings.CutPrefix(name, "LABEL_")
	switch {
	case name == "NAME":
		return f.name, nil
	case name == "ADDRESS":
		return f.address, nil
	case !isLabel:
		return "", fmt.Errorf("%.80q is unknown: there are $(HOST_NAME), $(HOST_ADDRESS) and $(HOST_LABEL_x); %s", reference+name+")", howToEscape)
	}
	if v, there := f.labels[label]; there {
		return v, nil
	}
	has := "it has none"
	if len(f.labels) > 0 {
		has = "it has " + strings.Join(slices.Sorted(maps.Keys(f.labels)), ", ")
	}
	return "", fmt.Errorf("host %s has no label %.80q; %s", f.name, label, has)
}

// references checks those in a daemon's manifest, as far as that goes without a host.
func (v *daemonValidator) references() {
	s := &v.m.Spec
	check := func(field, text string) {
		if _, err := substitute(text, anyValue); err != nil {
			v.bad(field, "%v", err)
		}
	}
	for i, arg := range s.Args {
		if refers(arg) {
			check(fmt.Sprintf("spec.args[%d]", i), arg)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		if value := s.Env[name].Value; value != nil && refers(*value) {
			check("spec.env["+name+"]", *value)
		}
	}
	if s.Health != nil {
		check("spec.health.url", s.Health.URL)
		check("spec.health.tcp", s.Health.TCP)
	}
	check("spec.stop.url", s.Stop.URL)
	if s.Reload != nil {
		check("spec.reload.url", s.Reload.URL)
	}
}

// anyValue is value for a host of which nothing is known: 1 is a part of any URL.
func anyValue(name string) (string, error) {
	if label, isLabel := strings.CutPrefix(name, "LABEL_"); isLabel {
		if label == "" {
			return "", fmt.Errorf("%q names no label", reference+name+")")
		}
		return "1", nil
	}
	if _, err := (facts{}).value(name); err != nil {
		return "", err
	}
	return "1", nil
}

// withoutReferences is a URL or an address as far as it is known without a host.
func withoutReferences(text string) string {
	if !refers(text) {
		return text
	}
	plain, err := substitute(text, anyValue)
	if err != nil {
		return text
	}
	return plain
}

// urlValue is value for a URL or HOST:PORT, in which an IPv6 address stands in brackets.
func (f facts) urlValue(name string) (string, error) {
	v, err := f.value(name)
	if name == "ADDRESS" && strings.Contains(v, ":") {
		v = "[" + v + "]"
	}
	return v, err
}

// on is a copy of a manifest for one host, with its references expanded.
func (m *Manifest) on(f facts) (Manifest, Problems) {
	c := *m
	e := expansion{facts: f, v: validator{origin: m.origin()}}
	s := &c.Spec
	if slices.ContainsFunc(s.Args, refers) {
		s.Args = slices.Clone(s.Args)
		for i := range s.Args {
			e.text(fmt.Sprintf("spec.args[%d]", i), &s.Args[i])
		}
	}
	e.env(s)
	e.health(s)
	e.url("spec.stop.url", &s.Stop.URL)
	if s.Reload != nil && refers(s.Reload.URL) {
		r := *s.Reload
		s.Reload = &r
		e.url("spec.reload.url", &r.URL)
	}
	return c, e.v.problems
}

func refers(text string) bool { return strings.Contains(text, reference) }

// expansion is that of one manifest for one host.
type expansion struct {
	facts facts
	v     validator
}

func (e *expansion) text(field string, text *string) { e.replace(field, text, e.facts.value) }

func (e *expansion) replace(field string, text *string, value func(string) (string, error)) bool {
	if !refers(*text) {
		return false
	}
	v, err := substitute(*text, value)
	if err != nil {
		e.v.bad(field, "%v", err)
		return false
	}
	*text = v
	return true
}

// url expands a URL, which must be one then too.
func (e *expansion) url(field string, text *string) { e.checked(field, text, e.v.url) }

func (e *expansion) checked(field string, text *string, check func(field, text string)) {
	before := len(e.v.problems)
	if !e.replace(field, text, e.facts.urlValue) {
		return
	}
	check(field, *text)
	for i := before; i < len(e.v.problems); i++ {
		e.v.problems[i].Message += fmt.Sprintf("; on host %s it is %q", e.facts.name, *text)
	}
}

func (e *expansion) env(s *Spec) {
	cloned := false
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		v := s.Env[name].Value
		if v == nil || !refers(*v) {
			continue
		}
		if !cloned {
			s.Env, cloned = maps.Clone(s.Env), true
		}
		variable, text := s.Env[name], *v
		e.text("spec.env["+name+"]", &text)
		variable.Value = &text
		s.Env[name] = variable
	}
}

func (e *expansion) health(s *Spec) {
	if s.Health == nil || !refers(s.Health.URL) && !refers(s.Health.TCP) {
		return
	}
	h := *s.Health
	s.Health = &h
	e.url("spec.health.url", &h.URL)
	e.checked("spec.health.tcp", &h.TCP, e.v.address)
}

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
	s := v.m.Spec
	s.rewrite(func(field string, _ notation, text string) string {
		if _, err := substitute(text, anyValue); err != nil {
			v.bad(field, "%v", err)
		}
		return text
	})
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
	text = strings.ReplaceAll(text, SlotReference, "1")
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

// on is a copy of a manifest for one host, with its references expanded. What was a URL is one then too.
func (m *Manifest) on(f facts) (Manifest, Problems) {
	c, v := *m, validator{origin: m.origin()}
	c.Spec.rewrite(func(field string, n notation, text string) string {
		value := f.value
		if n != plainText {
			value = f.urlValue
		}
		expanded, err := substitute(text, value)
		if err != nil {
			v.bad(field, "%v", err)
			return text
		}
		before := len(v.problems)
		switch n {
		case urlText:
			v.url(field, expanded)
		case addressText:
			v.address(field, expanded)
		}
		for i := before; i < len(v.problems); i++ {
			v.problems[i].Message += fmt.Sprintf("; on host %s it is %q", f.name, expanded)
		}
		return expanded
	})
	return c, v.problems
}

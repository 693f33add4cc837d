package spec

import (
	"maps"
	"slices"
	"strings"
)

func (v *validator) metadata() {
	m := v.m
	if m.APIVersion != "" && m.APIVersion != APIVersion {
		v.bad("apiVersion", "%q is not known to this tool: it reads %s", m.APIVersion, APIVersion)
	}
	if m.Kind != "" && m.Kind != Kind {
		v.bad("kind", "%q is not known to this tool: it reads %s", m.Kind, Kind)
	}
	if m.Metadata.Name != "" {
		v.name("metadata.name", m.Metadata.Name)
	}
	for _, key := range slices.Sorted(maps.Keys(m.Metadata.Labels)) {
		field := "metadata.labels[" + key + "]"
		v.labelKey(field, key)
		if value := m.Metadata.Labels[key]; value != "" && !isLabelWord(value) {
			v.bad(field, "%q can't be a label: it is at most 63 letters, digits, '-', '_' and '.', and begins and ends with a letter or digit", value)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(m.Metadata.Annotations)) {
		v.labelKey("metadata.annotations["+key+"]", key)
	}
}

func (v *validator) name(field, name string) {
	if !isName(name) {
		v.bad(field, "%q can't be a name: it is at most 63 lower case letters, digits, '-' and '.', and begins and ends with a letter or digit", name)
	}
}

func (v *validator) labelKey(field, key string) {
	prefix, word, two := strings.Cut(key, "/")
	if !two {
		prefix, word = "", key
	}
	if !isLabelWord(word) || two && (!isDomain(prefix) || len(prefix) > 253) {
		v.bad(field, "%q can't be a key: it is at most 63 letters, digits, '-', '_' and '.', if need be after a DOMAIN/", key)
	}
}

package spec

import (
	"maps"
	"slices"
	"strings"
)

// header checks what says what a document is; kind is what it was read as.
func (v *validator) header(apiVersion, found, kind string) {
	if apiVersion != "" && apiVersion != APIVersion {
		v.bad("apiVersion", "%q is not known to this tool: it reads %s", apiVersion, APIVersion)
	}
	if found == "" || found == kind {
		return
	}
	if near := nearest(found, kinds()); near != "" {
		v.bad("kind", "%q is not known to this tool: did you mean %s?", found, near)
		return
	}
	v.bad("kind", "%q is not known to this tool: it reads %s", found, strings.Join(kinds(), " and "))
}

// kinds are the kinds of documents.
func kinds() []string { return []string{Kind, HostKind} }

func (v *validator) metadata(m Metadata) {
	if m.Name != "" {
		v.name("metadata.name", m.Name)
	}
	v.labels("metadata.labels", m.Labels)
	for _, key := range slices.Sorted(maps.Keys(m.Annotations)) {
		v.labelKey("metadata.annotations["+key+"]", key)
	}
}

func (v *validator) labels(path string, labels map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		field := path + "[" + key + "]"
		v.labelKey(field, key)
		if value := labels[key]; value != "" && !isLabelWord(value) {
			v.bad(field, "%q can't be a label: it is at most 63 letters, digits, '-', '_' and '.', and begins and ends with a letter or digit", value)
		}
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

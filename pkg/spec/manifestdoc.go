package spec

import (
	_ "embed"
	"fmt"
	"reflect"
	"strings"
)

//go:generate go test -run TestManifestDocIsUpToDate -update .

//go:embed manifest_intro.md
var manifestIntro string

// ManifestDoc returns the manual of the manifest, docs/manifest.md, in Markdown.
func ManifestDoc() (string, error) {
	c, err := readComments()
	if err != nil {
		return "", err
	}
	d := manual{comments: c, kind: Kind}
	d.WriteString("<!-- Made from the Go types and their comments by `go generate ./pkg/spec`. -->\n\n" + manifestIntro)
	d.object(manifestShape(), nil, "", Live)
	d.kind = HostKind
	d.WriteString("\n" + hostIntro)
	d.object(hostShape(), nil, "", Live)
	return d.String(), nil
}

//go:embed host_intro.md
var hostIntro string

// manual is a manual in the making.
type manual struct {
	strings.Builder
	kind     string // of the documents that it is at
	comments comments
}

// object writes the section of an object, then those of the objects in it.
func (d *manual) object(s *shape, at *field, path string, class Class) {
	title := "A " + d.kind
	if path != "" {
		title = "`" + path + "`"
	}
	if path != "" && d.kind == HostKind {
		title += " of a Host"
	}
	fmt.Fprintf(d, "\n## %s\n\n%s\n\n", title, d.about(s, at))
	if d.kind == HostKind {
		d.WriteString("| Field | Type | Default | Meaning |\n|---|---|---|---|\n")
	} else {
		d.WriteString("| Field | Type | Default | Change | Meaning |\n|---|---|---|---|---|\n")
	}
	for i := range s.fields {
		d.row(s, &s.fields[i], path, class)
	}
	for i := range s.fields {
		f := &s.fields[i]
		inner := f.innermost()
		if len(inner.fields) > 0 {
			d.object(inner, f, string(appendField([]byte(path), f.name))+suffix(f.shape), costOf(f, class))
		}
	}
}

// about is what an object is for.
func (d *manual) about(s *shape, at *field) string {
	text := d.comments.ofType(s)
	if at != nil && at.required {
		text += " Required."
	}
	return text
}

func (d *manual) row(s *shape, f *field, path string, class Class) {
	text, def := cutDefault(d.comments.of(s, f))
	if f.required {
		def = "required"
	} else if def != "" && owned(s, f) {
		def = "`" + def + "`"
	}
	cost := costOf(f, class).String()
	if path == "" || identifies(s, f) {
		cost = ""
	}
	kind := f.typeName()
	if f.ranged() {
		kind += ", " + strings.TrimPrefix(f.bounds(), "it can be ")
	}
	cells := []string{"`" + f.name + "`", kind, def}
	if d.kind != HostKind {
		cells = append(cells, cost)
	}
	cells = append(cells, strings.ReplaceAll(text, "|", `\|`))
	d.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}

// owned says whether a default is a value of the field, and not a sentence about one.
func owned(s *shape, f *field) bool { return !s.def.Field(f.index).IsZero() }

// identifies says whether another value of a field makes another daemon, by its name or its place.
func identifies(owner *shape, f *field) bool {
	switch owner.base() {
	case reflect.TypeFor[Metadata]():
		return f.name == "name"
	case reflect.TypeFor[Spec]():
		return f.name == "host" || f.name == "hostSelector"
	case reflect.TypeFor[HostSelector]():
		return true
	}
	return false
}

func costOf(f *field, class Class) Class {
	if f.classed {
		return f.class
	}
	return class
}

// suffix says how the items of a list or a table are reached.
func suffix(s *shape) string {
	switch s.kind {
	case aList:
		return "[]"
	case aTable:
		return "[NAME]"
	}
	return ""
}

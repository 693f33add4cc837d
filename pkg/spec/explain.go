package spec

import (
	"fmt"
	"strings"
)

// Explain documents a field for the terminal, as kubectl explain does: what it is, its type, its default, what a change of it costs, and the fields in
// it. path is as in spec.health.url, of a DaemonSpec, or begins with the kind, as in Host.spec.address; in spec.env[NAME] the brackets are left aside, so that a
// Change's field can be asked for. "" is a DaemonSpec.
func Explain(path string) (string, error) {
	c, err := readComments()
	if err != nil {
		return "", err
	}
	p, err := findPlace(path)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "KIND:     %s\nVERSION:  %s\n\n", p.kind, APIVersion)
	if p.field == nil {
		fmt.Fprintf(&b, "DESCRIPTION:\n%s\n", indent(c.ofType(p.shape)))
	} else {
		p.writeField(&b, c)
	}
	if inner := p.shape.innermost(); len(inner.fields) > 0 {
		b.WriteString("\nFIELDS:\n")
		for i := range inner.fields {
			f := &inner.fields[i]
			fmt.Fprintf(&b, "  %s  <%s>%s\n%s\n\n", f.name, f.typeName(), requiredMark(f), indent(c.of(inner, f)))
		}
	}
	if path == "" {
		fmt.Fprintf(&b, "The other kind of manifest is %s: explain %s.\n", HostKind, HostKind)
	}
	return strings.TrimRight(b.String(), "\n") + "\n", nil
}

// place is a field in a manifest, with what it has from the fields around it.
type place struct {
	kind  string // of the document
	shape *shape
	field *field // nil for the whole manifest
	owner *shape
	class Class
	path  string
}

func (p place) writeField(b *strings.Builder, c comments) {
	text, def := cutDefault(c.of(p.owner, p.field))
	fmt.Fprintf(b, "FIELD:    %s <%s>%s\n\nDESCRIPTION:\n%s\n", p.path, p.field.typeName(), requiredMark(p.field), indent(text))
	if words := p.field.words; words != nil {
		fmt.Fprintf(b, "\nONE OF:   %s\n", strings.Join(words, ", "))
	}
	if p.field.ranged() {
		fmt.Fprintf(b, "\nRANGE:    %s\n", p.field.bounds())
	}
	if def != "" {
		fmt.Fprintf(b, "\nDEFAULT:  %s\n", def)
	}
	fmt.Fprintf(b, "\nCHANGE:   %s\n", p.cost())
}

// cost says what a change of the field does to a running daemon.
func (p place) cost() string {
	switch {
	case p.kind == HostKind:
		return "none to daemons (the connection is made anew)"
	case p.path == "spec" || p.path == "apiVersion" || p.path == "kind":
		return "see its fields"
	case p.path == "metadata.name":
		return "another name is another daemon"
	case identifies(p.owner, p.field):
		return "another host is another daemon; the one before is left to prune"
	}
	switch p.class {
	case Reloaded:
		return "reload (the daemon rereads its files), or restart where spec.reload is omitted"
	case Restarted:
		return "restart (the daemon is stopped and started)"
	case Recreated:
		return "recreate (the daemon is removed and made anew)"
	}
	return "live (nothing happens to the process)"
}

// findPlace follows a path from the manifest.
func findPlace(path string) (place, error) {
	names := plainSteps(path)
	p := place{kind: Kind, shape: manifestShape()}
	if len(names) > 0 {
		switch {
		case strings.EqualFold(names[0], HostKind):
			p, names = place{kind: HostKind, shape: hostShape()}, names[1:]
		case strings.EqualFold(names[0], Kind):
			names = names[1:]
		}
	}
	for _, name := range names {
		inner := p.shape.innermost()
		f := inner.field(name)
		if f == nil {
			return p, fmt.Errorf("explain %s: %s", path, p.unknown(name))
		}
		p = place{kind: p.kind, shape: f.shape, field: f, owner: inner, class: costOf(f, p.class), path: string(appendField([]byte(p.path), name))}
	}
	return p, nil
}

// unknown says that p has no field of that name.
func (p place) unknown(name string) string {
	where, inner := "a "+p.kind, p.shape.innermost()
	if p.path != "" {
		where = p.path
	}
	if len(inner.fields) == 0 {
		return fmt.Sprintf("%s has no fields, and so no %q", where, name)
	}
	var names []string
	for _, f := range inner.fields {
		names = append(names, f.name)
	}
	return fmt.Sprintf("%s has no field %q%s", where, name, meant(name, names))
}

// plainSteps splits a path at its dots and leaves out what stands in brackets.
func plainSteps(path string) []string {
	var b strings.Builder
	for path != "" {
		before, rest, found := strings.Cut(path, "[")
		b.WriteString(before)
		if !found {
			break
		}
		_, path, _ = strings.Cut(rest, "]")
	}
	return strings.FieldsFunc(b.String(), func(r rune) bool { return r == '.' })
}

// innermost is the shape of the items of lists and tables, and of anything else itself.
func (s *shape) innermost() *shape {
	for s.elem != nil {
		s = s.elem
	}
	return s
}

func requiredMark(f *field) string {
	if f.required {
		return " -required-"
	}
	return ""
}

// indent wraps a text for a terminal, indented by four.
func indent(text string) string {
	const width = 84
	var b strings.Builder
	column := 0
	for word := range strings.FieldsSeq(text) {
		switch {
		case column == 0:
			b.WriteString("    ")
			column = 4
		case column+1+len(word) > width:
			b.WriteString("\n    ")
			column = 4
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}

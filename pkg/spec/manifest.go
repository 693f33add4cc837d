package spec

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Manifest is one document as written, with defaults filled in.
type Manifest struct {
	DaemonSpec
	// File is where it was read: a path as the user gave it, or "stdin".
	File string
	// Line and Column say where in the file the document starts, from 1.
	Line, Column int

	// root is what positions of fields are looked up in; nil for a manifest that no loader made.
	root *yaml.Node
	skew int // lines of the file before root's line 1
}

// Problem is one thing that is wrong with a manifest, or one source that can't be read.
type Problem struct {
	File string
	// Line and Column are from 1; 0 where there is no telling.
	Line, Column int
	// Field is its path, as in spec.health.url; empty where no field is to blame.
	Field   string
	Message string
}

// String is FILE:LINE:COLUMN: FIELD: MESSAGE, without what is not known.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	for _, n := range []int{p.Line, p.Column} {
		if n > 0 {
			fmt.Fprintf(&b, ":%d", n)
		}
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	if p.Field != "" {
		b.WriteString(p.Field + ": ")
	}
	return b.String() + p.Message
}

// Problems are all that is wrong with some manifests, in the order they stand in. They are an error where there is one.
type Problems []Problem

// Error is one line for each problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// err is ps as an error, nil where there is none.
func (ps Problems) err() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}

// byPosition sorts the problems of one file.
func (ps Problems) byPosition() {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// at makes a problem of a field, positioned where the field stands or, where it isn't written, where its nearest ancestor does.
func (m *Manifest) at(field, format string, args ...any) Problem {
	line, column, _ := m.locate(field)
	return Problem{m.File, line, column, field, fmt.Sprintf(format, args...)}
}

// locate finds where a field's value stands, and whether it is written at all.
func (m *Manifest) locate(path string) (line, column int, written bool) {
	if m.root == nil {
		return m.Line, m.Column, false
	}
	n, written := m.root, true
	for _, name := range steps(path) {
		next := child(n, name)
		if next == nil && path == "spec.health.url" {
			next = child(child(m.root, "spec"), "healthURL")
		}
		if next == nil {
			written = false
			break
		}
		n = next
	}
	return n.Line + m.skew, n.Column, written
}

// steps splits a path: spec.env[A.B].fromFile is spec, env, A.B and fromFile.
func steps(path string) []string {
	var out []string
	for path != "" {
		end := strings.IndexAny(path, ".[")
		switch {
		case path[0] == '[':
			end = strings.IndexByte(path, ']')
			if next := strings.Index(path, "]."); next > 0 {
				end = next
			} else if strings.HasSuffix(path, "]") && strings.Count(path, "[") == 1 {
				end = len(path) - 1
			}
			if end < 0 {
				return append(out, path[1:])
			}
			out, path = append(out, path[1:end]), path[end+1:]
		case path[0] == '.':
			path = path[1:]
		case end < 0:
			return append(out, path)
		default:
			out, path = append(out, path[:end]), path[end:]
		}
	}
	return out
}

// child finds a field of a mapping, through aliases and merges, or an element of a list by its index; nil where there is none.
func child(n *yaml.Node, name string) *yaml.Node {
	return childWithin(n, name, maxAliasDepth)
}

func childWithin(n *yaml.Node, name string, depth int) *yaml.Node {
	if n == nil || depth == 0 {
		return nil
	}
	switch n.Kind {
	case yaml.AliasNode:
		return childWithin(n.Alias, name, depth-1)
	case yaml.SequenceNode:
		var i int
		if _, err := fmt.Sscanf(name, "%d", &i); err != nil || i < 0 || i >= len(n.Content) {
			return nil
		}
		return n.Content[i]
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == name {
				return n.Content[i+1]
			}
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if isMerge(n.Content[i]) {
				if c := mergedChild(n.Content[i+1], name, depth-1); c != nil {
					return c
				}
			}
		}
	}
	return nil
}

func mergedChild(n *yaml.Node, name string, depth int) *yaml.Node {
	if n.Kind != yaml.SequenceNode {
		return childWithin(n, name, depth)
	}
	for _, one := range n.Content {
		if c := childWithin(one, name, depth); c != nil {
			return c
		}
	}
	return nil
}

// isMerge says whether a key is YAML's << that merges another mapping.
func isMerge(key *yaml.Node) bool { return key.Tag == "!!merge" && key.Style == 0 }

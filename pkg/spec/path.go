package spec

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// at makes a problem of a field, positioned where the field stands or, where it isn't written, where its nearest ancestor does.
func (o origin) at(field, format string, args ...any) Problem {
	line, column, _ := o.locate(field)
	return Problem{o.file, line, column, field, fmt.Sprintf(format, args...)}
}

// complain adds a problem of a field to ps, as long as there are not very many: each has to be located.
func (o origin) complain(ps Problems, field, format string, args ...any) Problems {
	switch {
	case len(ps) < maxProblems:
		return append(ps, o.at(field, format, args...))
	case len(ps) == maxProblems:
		return append(ps, o.at("", tooMany))
	}
	return ps
}

// locate finds where a field's value stands, and whether it is written at all.
func (o origin) locate(path string) (line, column int, written bool) {
	if o.root == nil {
		return o.line, o.column, false
	}
	n, written := o.root, true
	for _, name := range steps(path) {
		next := child(n, name)
		if next == nil && path == "spec.health.url" {
			next = child(child(o.root, "spec"), "healthURL")
		}
		if next == nil {
			written = false
			break
		}
		n = next
	}
	return n.Line + o.skew, n.Column, written
}

// steps splits a path: spec.env[A.B].fromFile is spec, env, A.B and fromFile.
func steps(path string) []string {
	var out []string
	for path != "" {
		if inner, ok := strings.CutPrefix(path, "["); ok {
			key, rest, _ := strings.Cut(inner, "]")
			out, path = append(out, key), rest
			continue
		}
		path = strings.TrimPrefix(path, ".")
		end := strings.IndexAny(path, ".[")
		if end < 0 {
			end = len(path)
		}
		out, path = append(out, path[:end]), path[end:]
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

// at and complain are those of a manifest's origin.
func (m *Manifest) at(field, format string, args ...any) Problem {
	return m.origin().at(field, format, args...)
}

func (m *Manifest) complain(ps Problems, field, format string, args ...any) Problems {
	return m.origin().complain(ps, field, format, args...)
}

// join appends the name of one of s's entries to a path.
func (s *shape) join(path []byte, name string) []byte {
	if s.kind == aTable {
		return appendKey(path, name)
	}
	return appendField(path, name)
}

func appendField(path []byte, name string) []byte {
	if len(path) > 0 {
		path = append(path, '.')
	}
	return append(path, name...)
}

func appendKey(path []byte, key string) []byte {
	return append(append(append(path, '['), key...), ']')
}

func appendIndex(path []byte, i int) []byte {
	return append(strconv.AppendInt(append(path, '['), int64(i), 10), ']')
}

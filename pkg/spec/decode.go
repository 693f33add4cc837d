package spec

import (
	"fmt"
	"reflect"

	"go.yaml.in/yaml/v3"
)

const (
	maxAliasDepth = 20    // aliases within aliases
	maxExpansion  = 10000 // values that the aliases of one document expand to
	maxProblems   = 100   // that are told of one document
)

const tooMany = "and more: too much is wrong here to list all of it"

// decoder reads the nodes of one document into the types of this package, and goes on after a problem to find the next.
type decoder struct {
	file     string
	skew     int    // lines of the file before the nodes' line 1
	root     *shape // of the document
	path     []byte
	problems Problems
	inside   int        // aliases that we are inside of
	expanded int        // nodes that were read inside of one
	outer    *yaml.Node // the outermost of them, or the last that was
	meant    []string   // fields that were probably meant by unknown ones
}

func newDecoder(at origin, root *shape) *decoder {
	return &decoder{file: at.file, skew: at.skew, root: root, path: make([]byte, 0, 64)}
}

func (d *decoder) problem(n *yaml.Node, format string, args ...any) {
	d.problemAt(n, string(d.path), format, args...)
}

func (d *decoder) problemAt(n *yaml.Node, field, format string, args ...any) {
	switch {
	case len(d.problems) < maxProblems:
		d.problems = append(d.problems, Problem{d.file, n.Line + d.skew, n.Column, field, fmt.Sprintf(format, args...)})
	case len(d.problems) == maxProblems:
		d.problems = append(d.problems, Problem{d.file, n.Line + d.skew, n.Column, "", tooMany})
	}
}

// enter goes into an alias or a merge, and says whether that may be; leave goes out again.
func (d *decoder) enter(n *yaml.Node) bool {
	if d.inside == maxAliasDepth {
		d.problem(n, "aliases and merges are nested more than %d deep", maxAliasDepth)
		return false
	}
	if d.inside == 0 {
		d.outer = n
	}
	d.inside++
	return true
}

func (d *decoder) leave() { d.inside-- }

// overspent counts a node, and says whether the aliases of this document expand to too much.
func (d *decoder) overspent() bool {
	if d.inside > 0 {
		d.expanded++
	}
	return d.expanded >= maxExpansion
}

// all returns the problems; that of a document that expands to too much is the only one.
func (d *decoder) all() Problems {
	if d.expanded < maxExpansion {
		return d.problems
	}
	return Problems{{d.file, d.outer.Line + d.skew, d.outer.Column, "", fmt.Sprintf(
		"aliases and merges expand to more than %d values: write the manifest out", maxExpansion)}}
}

// decode reads n into v, whose shape is s. What it can't read it leaves as it was.
func (d *decoder) decode(s *shape, n *yaml.Node, v reflect.Value) {
	if d.overspent() {
		return
	}
	if n.Kind == yaml.AliasNode {
		if d.enter(n) {
			d.decode(s, n.Alias, v)
			d.leave()
		}
		return
	}
	if isNull(n) {
		return
	}
	if s.ptr {
		p := reflect.New(s.typ.Elem())
		preset(p)
		d.decodeValue(s, n, p.Elem())
		v.Set(p)
		return
	}
	d.decodeValue(s, n, v)
}

// preset gives a value its defaults before it is read, so that a zero that is written stays.
func preset(p reflect.Value) {
	if v, ok := p.Interface().(defaulter); ok {
		v.setDefaults()
	}
}

func (d *decoder) decodeValue(s *shape, n *yaml.Node, v reflect.Value) {
	switch s.kind {
	case anObject:
		if d.wants(n, yaml.MappingNode, "fields") {
			d.object(s, n, v)
		}
	case aTable:
		if d.wants(n, yaml.MappingNode, "names with values, as in NAME: VALUE") {
			d.table(s, n, v)
		}
	case aList:
		if d.wants(n, yaml.SequenceNode, "a list, as in [ITEM, ITEM]") {
			d.list(s, n, v)
		}
	case anEnvVar:
		if n.Kind == yaml.MappingNode {
			d.object(s, n, v)
		} else if text, ok := d.text(n); ok {
			v.Set(reflect.ValueOf(EnvVar{Value: &text}))
		}
	case aString:
		if text, ok := d.text(n); ok {
			v.SetString(text)
		}
	case anInt:
		d.integer(n, v)
	case aBool:
		d.boolean(n, v)
	case aText:
		d.scalarType(n, v)
	}
}

// wants says whether n is of a kind, and tells the problem where not.
func (d *decoder) wants(n *yaml.Node, kind yaml.Kind, what string) bool {
	if !d.plainTag(n) {
		return false
	}
	if n.Kind != kind {
		d.problem(n, "want %s, found %s", what, found(n))
	}
	return n.Kind == kind
}

// plainTag refuses tags that would change what a value means.
func (d *decoder) plainTag(n *yaml.Node) bool {
	if n.Style&yaml.TaggedStyle == 0 || n.Tag == "!!str" && n.Kind == yaml.ScalarNode {
		return true
	}
	d.problem(n, "the tag %s means nothing here: leave it out", n.Tag)
	return false
}

func (d *decoder) object(s *shape, n *yaml.Node, v reflect.Value) {
	d.eachPair(s, n, func(key, value *yaml.Node) {
		f := s.field(key.Value)
		if f == nil {
			d.unknownField(s, key)
			return
		}
		mark := len(d.path)
		d.path = appendField(d.path, f.name)
		d.decode(f.shape, value, v.Field(f.index))
		d.path = d.path[:mark]
	})
}

func (d *decoder) table(s *shape, n *yaml.Node, v reflect.Value) {
	v.Set(reflect.MakeMapWithSize(s.typ, len(n.Content)/2))
	d.eachPair(s, n, func(key, value *yaml.Node) {
		mark := len(d.path)
		d.path = appendKey(d.path, key.Value)
		defer func() { d.path = d.path[:mark] }()
		if isNull(value) {
			d.problem(value, "no value: write \"\" for an empty one, or leave the name out")
			return
		}
		item := reflect.New(s.elem.typ).Elem()
		d.decode(s.elem, value, item)
		v.SetMapIndex(reflect.ValueOf(key.Value), item)
	})
}

func (d *decoder) list(s *shape, n *yaml.Node, v reflect.Value) {
	v.Set(reflect.MakeSlice(s.typ, len(n.Content), len(n.Content)))
	for i, value := range n.Content {
		mark := len(d.path)
		d.path = appendIndex(d.path, i)
		if isNull(value) {
			d.problem(value, "an empty item: write \"\" for an empty string, or leave it out")
		} else {
			preset(v.Index(i).Addr())
			d.decode(s.elem, value, v.Index(i))
		}
		d.path = d.path[:mark]
	}
}

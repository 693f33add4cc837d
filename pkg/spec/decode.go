package spec

import "reflect"

const (
	maxAliasDepth = 20    // aliases within aliases
	maxExpansion  = 10000 // values that the aliases of one document expand to
	maxProblems   = 100   // that are told of one document
)

// decoder reads the nodes of one document into the types of this package, and goes on after a problem to find the next.
type decoder struct {
	file     string
	path     []byte
	problems Problems
	inside   int      // aliases that we are inside of
	expanded int      // nodes that were read inside of one
	outer    *node    // the outermost of them, or the last that was
	meant    []string // fields that were probably meant by unknown ones
}

func (d *decoder) problem(n *node, format string, args ...any) {
	d.problemAt(n, string(d.path), format, args...)
}

func (d *decoder) problemAt(n *node, field, format string, args ...any) {
	switch {
	case len(d.problems) < maxProblems:
		d.problems = append(d.problems, n.problem(d.file, field, format, args...))
	case len(d.problems) == maxProblems:
		d.problems = append(d.problems, n.problem(d.file, "", "and more: too much is wrong here to list all of it"))
	}
}

// enter goes into an alias or a merge, and says whether that may be; leave goes out again.
func (d *decoder) enter(n *node) bool {
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
	return Problems{d.outer.problem(d.file, "", "aliases and merges expand to more than %d values: write the manifest out", maxExpansion)}
}

// decode reads n into v, whose shape is s. What it can't read it leaves as it was.
func (d *decoder) decode(s *shape, n *node, v reflect.Value) {
	if d.overspent() {
		return
	}
	if n.kind == aliasNode {
		if d.enter(n) {
			d.decode(s, n.first, v)
			d.leave()
		}
		return
	}
	if n.isNull() {
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

func (d *decoder) decodeValue(s *shape, n *node, v reflect.Value) {
	switch s.kind {
	case anObject:
		if d.wants(n, mapNode, "fields") {
			d.object(s, n, v)
		}
	case aTable:
		if d.wants(n, mapNode, "names with values, as in NAME: VALUE") {
			d.table(s, n, v)
		}
	case aList:
		if d.wants(n, listNode, "a list, as in [ITEM, ITEM]") {
			d.list(s, n, v)
		}
	case anEnvVar:
		if n.kind == mapNode {
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
func (d *decoder) wants(n *node, kind nodeKind, what string) bool {
	if !d.plainTag(n) {
		return false
	}
	if n.kind != kind {
		d.problem(n, "want %s, found %s", what, found(n))
	}
	return n.kind == kind
}

// plainTag refuses tags that would change what a value means.
func (d *decoder) plainTag(n *node) bool {
	if n.tag != foreignTag {
		return true
	}
	d.problem(n, "the tag %s means nothing here: leave it out", n.value)
	return false
}

func (d *decoder) object(s *shape, n *node, v reflect.Value) {
	d.eachPair(s, n, func(key, value *node) {
		f := s.field(key.value)
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

func (d *decoder) table(s *shape, n *node, v reflect.Value) {
	v.Set(reflect.MakeMapWithSize(s.typ, n.len()/2))
	d.eachPair(s, n, func(key, value *node) {
		mark := len(d.path)
		d.path = appendKey(d.path, key.value)
		defer func() { d.path = d.path[:mark] }()
		if value.isNull() {
			d.problem(value, "no value: write \"\" for an empty one, or leave the name out")
			return
		}
		item := reflect.New(s.elem.typ).Elem()
		d.decode(s.elem, value, item)
		v.SetMapIndex(reflect.ValueOf(key.value), item)
	})
}

func (d *decoder) list(s *shape, n *node, v reflect.Value) {
	length := n.len()
	v.Set(reflect.MakeSlice(s.typ, length, length))
	for i, value := 0, n.first; value != nil; i, value = i+1, value.next {
		mark := len(d.path)
		d.path = appendIndex(d.path, i)
		if value.isNull() {
			d.problem(value, "an empty item: write \"\" for an empty string, or leave it out")
		} else {
			preset(v.Index(i).Addr())
			d.decode(s.elem, value, v.Index(i))
		}
		d.path = d.path[:mark]
	}
}

package spec

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

// node is one value of a document, with its place. It is what JSON, YAML and the plain YAML that quickNodes reads have in common.
type node struct {
	kind   nodeKind
	tag    nodeTag
	quoted bool  // a scalar that is a string, whatever it looks like
	line   int32 // in the file
	column int32
	// value is the text of a scalar, or the tag where that is foreign.
	value string
	// first is a mapping's first key, a list's first item, or what an alias stands for; next is the value of a key, the key after a value, or the next item.
	first, next *node
}

type nodeKind uint8

const (
	scalarNode nodeKind = iota
	mapNode
	listNode
	aliasNode
)

// nodeTag is what YAML takes a plain scalar for.
type nodeTag uint8

const (
	strTag nodeTag = iota
	intTag
	floatTag
	boolTag
	nullTag
	timeTag
	mergeTag   // <<
	foreignTag // one that was written, and means nothing to us
)

// len counts the items of a list, or the keys and values of a mapping.
func (n *node) len() int {
	count := 0
	for c := n.first; c != nil; c = c.next {
		count++
	}
	return count
}

// problem tells what is wrong with it.
func (n *node) problem(file, field, format string, args ...any) Problem {
	return Problem{file, int(n.line), int(n.column), field, fmt.Sprintf(format, args...)}
}

func (n *node) isNull() bool { return n.kind == scalarNode && n.tag == nullTag }

// isMerge says whether a key is YAML's << that merges another mapping.
func (n *node) isMerge() bool { return n.tag == mergeTag }

// behind is what an alias stands for, or the node itself.
func (n *node) behind() *node {
	if n.kind == aliasNode {
		return n.first
	}
	return n
}

// nodes makes nodes, many at a time.
type nodes struct{ free []node }

func (ns *nodes) make(kind nodeKind, line, column int) *node {
	if len(ns.free) == 0 {
		ns.free = make([]node, 64)
	}
	n := &ns.free[0]
	ns.free = ns.free[1:]
	n.kind, n.line, n.column = kind, int32(line), int32(column)
	return n
}

// converter makes nodes of those of the YAML library. Every anchor is converted once, so that aliases cost nothing until they are followed.
type converter struct {
	nodes
	skew int // lines of the file before the library's line 1
	done map[*yaml.Node]*node
}

func (c *converter) convert(y *yaml.Node) *node {
	n := c.make(scalarNode, y.Line+c.skew, y.Column)
	if y.Anchor != "" {
		if c.done == nil {
			c.done = map[*yaml.Node]*node{}
		}
		c.done[y] = n
	}
	switch y.Kind {
	case yaml.AliasNode:
		n.kind, n.first = aliasNode, c.done[y.Alias]
		return n
	case yaml.MappingNode:
		n.kind = mapNode
	case yaml.SequenceNode:
		n.kind = listNode
	}
	switch tagged := y.Style&yaml.TaggedStyle != 0; {
	case tagged && (n.kind != scalarNode || y.Tag != "!!str"):
		n.tag, n.value = foreignTag, y.Tag
	case n.kind == scalarNode:
		n.value, n.tag = y.Value, tagOf(y.Tag)
		n.quoted = tagged || y.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
	}
	end := &n.first
	for _, y := range y.Content {
		*end = c.convert(y)
		end = &(*end).next
	}
	return n
}

// tagOf reads what the YAML library takes a scalar for.
func tagOf(tag string) nodeTag {
	switch tag {
	case "!!str":
		return strTag
	case "!!int":
		return intTag
	case "!!float":
		return floatTag
	case "!!bool":
		return boolTag
	case "!!null":
		return nullTag
	case "!!timestamp":
		return timeTag
	case "!!merge":
		return mergeTag
	}
	return foreignTag
}

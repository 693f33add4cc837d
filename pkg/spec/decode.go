package spec

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	maxAliasDepth = 20    // aliases within aliases
	maxExpansion  = 10000 // values that the aliases of one document expand to
	maxProblems   = 100   // that are told of one document
)

// decoder reads the nodes of one document into the types of this package, and goes on after a problem to find the next.
type decoder struct {
	file     string
	skew     int // lines of the file before the nodes' line 1
	path     []byte
	problems Problems
	inside   int // aliases that we are inside of
	expanded int // nodes that were read inside of one
}

func (d *decoder) problem(n *yaml.Node, format string, args ...any) {
	d.problemAt(n, string(d.path), format, args...)
}

func (d *decoder) problemAt(n *yaml.Node, field, format string, args ...any) {
	switch {
	case len(d.problems) < maxProblems:
		d.problems = append(d.problems, Problem{d.file, n.Line + d.skew, n.Column, field, fmt.Sprintf(format, args...)})
	case len(d.problems) == maxProblems:
		d.problems = append(d.problems, Problem{d.file, n.Line + d.skew, n.Column, "", "and more: too much is wrong here to list all of it"})
	}
}

// overspent says whether the aliases of this document expand to too much; the problem is told once.
func (d *decoder) overspent(n *yaml.Node) bool {
	if d.inside > 0 {
		d.expanded++
	}
	if d.expanded == maxExpansion {
		d.problemAt(n, "", "aliases and merges expand to more than %d values: write the manifest out", maxExpansion)
	}
	return d.expanded >= maxExpansion
}

// decode reads n into v, whose shape is s. What it can't read it leaves as it was.
func (d *decoder) decode(s *shape, n *yaml.Node, v reflect.Value) {
	if d.overspent(n) {
		return
	}
	if n.Kind == yaml.AliasNode {
		if d.inside == maxAliasDepth {
			d.problem(n, "aliases are nested more than %d deep", maxAliasDepth)
			return
		}
		d.inside++
		defer func() { d.inside-- }()
		d.decode(s, n.Alias, v)
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
		if d.wants(n, yaml.MappingNode, "fields, as in "+s.example()) {
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
	if n.Kind == kind && d.plainTag(n) {
		return true
	}
	if n.Kind != kind {
		d.problem(n, "want %s, found %s", what, found(n))
	}
	return false
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
	d.eachPair(n, func(key, value *yaml.Node) {
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
	d.eachPair(n, func(key, value *yaml.Node) {
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

// eachPair calls do with every key and value of a mapping once: those written in it, then those that << merges into it.
func (d *decoder) eachPair(n *yaml.Node, do func(key, value *yaml.Node)) {
	d.pairs(n, false, map[string]int{}, do)
}

func (d *decoder) pairs(n *yaml.Node, merged bool, seen map[string]int, do func(key, value *yaml.Node)) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if isMerge(key) {
			continue
		}
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		if d.inside > 0 && d.overspent(key) {
			return
		}
		if !d.keyIsText(key) {
			continue
		}
		if line, dup := seen[key.Value]; !dup {
			seen[key.Value] = key.Line + d.skew
			do(key, value)
		} else if !merged {
			d.problemAt(key, string(appendField(d.path, key.Value)), "written twice, first in line %d", line)
		}
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if isMerge(n.Content[i]) {
			d.merge(n.Content[i+1], seen, do)
		}
	}
}

func (d *decoder) merge(n *yaml.Node, seen map[string]int, do func(key, value *yaml.Node)) {
	if d.overspent(n) {
		return
	}
	if d.inside == maxAliasDepth {
		d.problem(n, "aliases and merges are nested more than %d deep", maxAliasDepth)
		return
	}
	d.inside++
	defer func() { d.inside-- }()
	switch target := n; {
	case n.Kind == yaml.AliasNode && n.Alias.Kind != yaml.AliasNode:
		target = n.Alias
		if target.Kind != yaml.MappingNode {
			d.problem(n, "<< merges mappings, and this is %s", found(target))
			return
		}
		d.pairs(target, true, seen, do)
	case n.Kind == yaml.MappingNode:
		d.pairs(n, true, seen, do)
	case n.Kind == yaml.SequenceNode:
		for _, one := range n.Content {
			if one.Kind == yaml.SequenceNode {
				d.problem(one, "<< merges mappings, and this is a list")
				return
			}
			d.merge(one, seen, do)
		}
	default:
		d.problem(n, "<< merges mappings, and this is %s", found(n))
	}
}

func (d *decoder) keyIsText(key *yaml.Node) bool {
	if key.Kind != yaml.ScalarNode {
		d.problem(key, "a name must be a string, and this is %s", found(key))
		return false
	}
	if isQuoted(key) || key.Tag == "!!str" && !ambiguous(key.Value) {
		return d.plainTag(key)
	}
	d.problem(key, "a name must be a string, and this is %s: quote it, %q", found(key), key.Value)
	return false
}

// text reads a string. What YAML takes for a number, a truth value or a date is refused, and so is what other YAML readers do.
func (d *decoder) text(n *yaml.Node) (string, bool) {
	if !d.wants(n, yaml.ScalarNode, "a string") {
		return "", false
	}
	if !isQuoted(n) && (n.Tag != "!!str" && n.Tag != "!!timestamp" || n.Tag == "!!str" && n.Style&yaml.TaggedStyle == 0 && ambiguous(n.Value)) {
		d.problem(n, "want a string, found %s: quote it, %q", found(n), n.Value)
		return "", false
	}
	return n.Value, true
}

func (d *decoder) integer(n *yaml.Node, v reflect.Value) {
	if !d.wants(n, yaml.ScalarNode, "a number") {
		return
	}
	i, err := strconv.ParseInt(n.Value, 10, v.Type().Bits())
	switch {
	case isQuoted(n):
		d.problem(n, "want a number, found the string %q: write it without quotes", n.Value)
	case err != nil || !isDecimal(n.Value):
		d.problem(n, "want a whole number, found %s", found(n))
	default:
		v.SetInt(i)
	}
}

func (d *decoder) boolean(n *yaml.Node, v reflect.Value) {
	if !d.wants(n, yaml.ScalarNode, "true or false") {
		return
	}
	if isQuoted(n) || n.Value != "true" && n.Value != "false" {
		d.problem(n, "want true or false, found %s", found(n))
		return
	}
	v.SetBool(n.Value == "true")
}

// scalarType reads a type with its own text form. A plain decimal number is such a text where the type has a number without a unit.
func (d *decoder) scalarType(n *yaml.Node, v reflect.Value) {
	if !d.wants(n, yaml.ScalarNode, "one value") {
		return
	}
	if !isQuoted(n) && n.Tag != "!!str" && (!isDecimal(n.Value) || v.Type() == reflect.TypeFor[Mode]()) {
		d.problem(n, "want a string, found %s: quote it, %q", found(n), n.Value)
		return
	}
	if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(n.Value)); err != nil {
		d.problem(n, "%v", err)
	}
}

func isQuoted(n *yaml.Node) bool {
	return n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
}

func isNull(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Tag == "!!null" && n.Style&yaml.TaggedStyle == 0
}

// ambiguous says whether a plain scalar that YAML 1.2 takes for a string is something else to a reader of YAML 1.1, as kubectl and kustomize are.
func ambiguous(s string) bool {
	switch strings.ToLower(s) {
	case "y", "n", "yes", "no", "on", "off":
		return true
	}
	if s == "" || !strings.ContainsRune("0123456789+-.", rune(s[0])) {
		return false
	}
	_, err := strconv.ParseFloat(strings.ReplaceAll(s, "_", ""), 64)
	return err == nil
}

// isDecimal says whether s is a decimal number that every reader of YAML takes for the same.
func isDecimal(s string) bool {
	whole, part, point := strings.Cut(strings.TrimPrefix(s, "-"), ".")
	return isDigits(whole) && (whole == "0" || whole[0] != '0') && (!point || isDigits(part))
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// found says what a node is, for messages.
func found(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "fields"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	value := n.Value
	if len(value) > 60 {
		value = strings.ToValidUTF8(value[:60], "") + "…"
	}
	switch {
	case isQuoted(n):
		return fmt.Sprintf("the string %q", value)
	case n.Tag == "!!int" || n.Tag == "!!float":
		return "the number " + value
	case n.Tag == "!!bool":
		return "the truth value " + value
	case n.Tag == "!!null":
		return "nothing"
	case ambiguous(n.Value):
		return fmt.Sprintf("%s, which is no string to other readers of YAML", value)
	}
	return fmt.Sprintf("the string %q", value)
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

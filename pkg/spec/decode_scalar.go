package spec

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// text reads a string. What YAML takes for a number, a truth value or a date is refused, and so is what other YAML readers do.
func (d *decoder) text(n *yaml.Node) (string, bool) {
	if !d.wants(n, yaml.ScalarNode, "a string") {
		return "", false
	}
	if !isQuoted(n) && (n.Tag != "!!str" && n.Tag != "!!timestamp" || n.Tag == "!!str" && n.Style&yaml.TaggedStyle == 0 && ambiguous(n.Value)) {
		d.problem(n, "want a string, found %s: quote it, %q", foundPlain(n), n.Value)
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
	}
	return fmt.Sprintf("the string %q", value)
}

// foundPlain is found for a place where only a string will do.
func foundPlain(n *yaml.Node) string {
	if n.Tag == "!!str" {
		return n.Value + ", which other readers of YAML take for something else"
	}
	return found(n)
}

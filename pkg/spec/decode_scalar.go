package spec

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// text reads a string. What YAML takes for a number, a truth value or a date is refused, and so is what other YAML readers do.
func (d *decoder) text(n *node) (string, bool) {
	if !d.wants(n, scalarNode, "a string") {
		return "", false
	}
	if !n.quoted && n.tag != timeTag && (n.tag != strTag || ambiguous(n.value)) {
		d.problem(n, "want a string, found %s: quote it, %q", foundPlain(n), n.value)
		return "", false
	}
	return n.value, true
}

func (d *decoder) integer(n *node, v reflect.Value) {
	if !d.wants(n, scalarNode, "a number") {
		return
	}
	i, err := strconv.ParseInt(n.value, 10, v.Type().Bits())
	switch {
	case n.quoted:
		d.problem(n, "want a number, found the string %q: write it without quotes", n.value)
	case err != nil || !isDecimal(n.value):
		d.problem(n, "want a whole number, found %s", found(n))
	default:
		v.SetInt(i)
	}
}

func (d *decoder) boolean(n *node, v reflect.Value) {
	if !d.wants(n, scalarNode, "true or false") {
		return
	}
	if n.quoted || n.value != "true" && n.value != "false" {
		d.problem(n, "want true or false, found %s", found(n))
		return
	}
	v.SetBool(n.value == "true")
}

// scalarType reads a type with its own text form. A plain decimal number is such a text where the type has a number without a unit.
func (d *decoder) scalarType(n *node, v reflect.Value) {
	if !d.wants(n, scalarNode, "one value") {
		return
	}
	if !n.quoted && n.tag != strTag && (!isDecimal(n.value) || v.Type() == reflect.TypeFor[Mode]()) {
		d.problem(n, "want a string, found %s: quote it, %q", found(n), n.value)
		return
	}
	if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(n.value)); err != nil {
		d.problem(n, "%v", err)
	}
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
func found(n *node) string {
	switch n.kind {
	case mapNode:
		return "fields"
	case listNode:
		return "a list"
	case aliasNode:
		return "an alias"
	}
	value := n.value
	if len(value) > 60 {
		value = strings.ToValidUTF8(value[:60], "") + "…"
	}
	switch {
	case n.quoted:
		return fmt.Sprintf("the string %q", value)
	case n.tag == intTag || n.tag == floatTag:
		return "the number " + value
	case n.tag == boolTag:
		return "the truth value " + value
	case n.tag == nullTag:
		return "nothing"
	}
	return fmt.Sprintf("the string %q", value)
}

// foundPlain is found for a place where only a string will do.
func foundPlain(n *node) string {
	if n.tag == strTag {
		return n.value + ", which other readers of YAML take for something else"
	}
	return found(n)
}

package spec

import (
	"reflect"
	"strings"
)

// leaf is one value of an effective spec, with the path that names it.
type leaf struct {
	path  []byte // valid during the call only
	value reflect.Value
	class Class
}

// eachLeaf calls do with every value that differs from its default, in an order that doesn't depend on the order of anything in the Go types or the manifest:
// fields by declaration are free to move, map entries and keyed lists are sorted, and only args keep theirs. So two specs mean the same exactly when their
// leaves are the same, and a field that a later version adds changes nothing where it has its default.
func eachLeaf(s *shape, v reflect.Value, path []byte, class Class, do func(leaf)) {
	w := walker{do}
	w.object(s, v, path, class)
}

type walker struct{ do func(leaf) }

// value visits one value; def is its default, invalid where it has none and is always told.
func (w walker) value(s *shape, v, def reflect.Value, path []byte, class Class) {
	if s.ptr {
		if v.IsNil() {
			return
		}
		v = v.Elem()
		if def.IsValid() {
			def = def.Elem() // the zero Value where the default is nil
		}
	}
	switch s.kind {
	case anObject:
		w.object(s, v, path, class)
	case anEnvVar:
		w.variable(s, v, path, class)
	case aTable:
		if v.Len() == 0 {
			return
		}
		for _, key := range sortedKeys(v) {
			w.value(s.elem, v.MapIndex(reflect.ValueOf(key)), reflect.Value{}, appendKey(path, key), class)
		}
	case aList:
		w.list(s, v, path, class)
	default:
		if !def.IsValid() || !v.Equal(def) {
			w.do(leaf{path, v, class})
		}
	}
}

func (w walker) object(s *shape, v reflect.Value, path []byte, class Class) {
	for _, i := range s.sorted {
		f := &s.fields[i]
		c := class
		if f.classed {
			c = f.class
		}
		w.value(f.shape, v.Field(f.index), s.def.Field(f.index), appendField(path, f.name), c)
	}
}

// list visits the items of a list. Those of objects are known by their first field and not by their place, which means nothing.
func (w walker) list(s *shape, v reflect.Value, path []byte, class Class) {
	if s.elem.kind != anObject {
		for i := range v.Len() {
			w.value(s.elem, v.Index(i), reflect.Value{}, appendIndex(path, i), class)
		}
		return
	}
	keys := make(map[string]int, v.Len())
	for i := range v.Len() {
		keys[v.Index(i).Field(0).String()] = i
	}
	for _, key := range sortedKeys(reflect.ValueOf(keys)) {
		at := appendKey(path, key)
		w.do(leaf{at, reflect.ValueOf(key), class})
		w.object(s.elem, withoutKey(v.Index(keys[key])), at, class)
	}
}

// withoutKey is a copy of an item less its first field.
func withoutKey(v reflect.Value) reflect.Value {
	c := reflect.New(v.Type()).Elem()
	c.Set(v)
	c.Field(0).SetZero()
	return c
}

// variable visits an environment variable as what the daemon gets, the value or a secret's digest, and where it comes from.
func (w walker) variable(s *shape, v reflect.Value, path []byte, class Class) {
	e := v.Interface().(EnvVar)
	switch {
	case e.Value != nil:
		w.do(leaf{path, reflect.ValueOf(*e.Value), class})
		return
	case e.Digest != "":
		w.do(leaf{path, reflect.ValueOf(secretDigest(e.Digest)), class})
	}
	if e.FromFile != "" {
		w.do(leaf{appendField(path, "fromFile"), reflect.ValueOf(e.FromFile), Live})
	}
	if e.FromEnv != "" {
		w.do(leaf{appendField(path, "fromEnv"), reflect.ValueOf(e.FromEnv), Live})
	}
}

// secretDigest is a digest in the place of a value that is never shown.
type secretDigest string

func (secretDigest) String() string { return Secret{}.String() }

// isContent says whether a leaf is the content of a file or its digest.
func isContent(path string) bool {
	return strings.HasPrefix(path, "spec.files[") && (strings.HasSuffix(path, "].digest") || strings.HasSuffix(path, "].content"))
}

package spec

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Diff returns the fields that differ between what was applied and what is wanted, sorted by field; none where both mean the same. A file's
// content shows as a digest, a secret as "(secret)", and a size with its number of bytes.
func Diff(old Stamp, want *Daemon) []Change {
	before, after := flat(old.Metadata, old.Spec), flat(want.Metadata, want.Spec)
	var changes []Change
	for _, path := range slices.SortedFunc(maps.Keys(merged(before, after)), naturally) {
		b, had := before[path]
		a, has := after[path]
		if had && has && a.same(b) {
			continue
		}
		c := Change{Field: path, Class: max(a.class, b.class)}
		if had {
			c.Old = b.show(path, nil)
		}
		if has {
			c.New = a.show(path, want.Contents)
		}
		if had && has && c.Old == c.New {
			c.New += ", changed"
		}
		if c.Class == Reloaded && want.Spec.Reload == nil {
			c.Class = Restarted
		}
		c = c.withDefaults(path, had, has)
		if path == "spec.install.digest" && !has && want.Program != nil && want.Program.Stale != "" {
			c.New = "rebuild: " + want.Program.Stale
		}
		changes = append(changes, c)
	}
	return withoutPlaces(changes, old, want)
}

// withoutPlaces leaves out where a program is kept by its content, where its digest says already that it is another one.
func withoutPlaces(changes []Change, old Stamp, want *Daemon) []Change {
	if before, after := old.Spec.Install, want.Spec.Install; before == nil || after == nil || before.Digest == after.Digest {
		return changes
	}
	return slices.DeleteFunc(changes, func(c Change) bool { return c.Field == "spec.binary" })
}

// naturally compares paths so that args[2] stands before args[10].
func naturally(a, b string) int {
	for a != "" && b != "" {
		i, j := digits(a), digits(b)
		if i > 0 && j > 0 {
			if c := cmp.Or(cmp.Compare(i, j), strings.Compare(a[:i], b[:j])); c != 0 {
				return c
			}
			a, b = a[i:], b[j:]
			continue
		}
		if a[0] != b[0] {
			break
		}
		a, b = a[1:], b[1:]
	}
	return strings.Compare(a, b)
}

// digits counts the digits that s begins with.
func digits(s string) int { return len(s) - len(strings.TrimLeft(s, "0123456789")) }

// shown is a leaf that was kept.
type shown struct {
	value reflect.Value
	class Class
	raw   string
}

func (s shown) same(o shown) bool { return s.raw == o.raw && s.value.Type() == o.value.Type() }

// flat lists the leaves of a spec by path.
func flat(m Metadata, s Spec) map[string]shown {
	out := map[string]shown{}
	keep := func(l leaf) {
		path := string(l.path)
		out[path] = shown{l.value, l.class, string(appendLeaf(nil, leaf{value: l.value}))}
	}
	eachLeaf(metadataShape(), reflect.ValueOf(&m).Elem(), []byte("metadata"), Live, keep)
	eachLeaf(specShape(), reflect.ValueOf(&s).Elem(), []byte("spec"), Live, keep)
	return out
}

func merged(a, b map[string]shown) map[string]shown {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

// show writes a value for people.
func (s shown) show(path string, contents map[string][]byte) string {
	if isContent(path) {
		return showContent(s.value.String(), contents)
	}
	return showValue(s.value)
}

func showValue(v reflect.Value) string {
	if x, ok := v.Interface().(Bytes); ok && x != Unlimited && strconv.FormatInt(int64(x), 10) != x.String() {
		return fmt.Sprintf("%v (%d)", x, int64(x))
	}
	return showPlain(v)
}

// showPlain writes a value as a manifest has it.
func showPlain(v reflect.Value) string { return fmt.Sprint(v.Interface()) }

// showContent writes a digest short, and with the size where the content is at hand.
func showContent(digest string, contents map[string][]byte) string {
	short := digest[:min(len(digest), len("sha256:")+12)]
	if content, ok := contents[digest]; ok {
		return fmt.Sprintf("%s (%s)", short, people(len(content)))
	}
	return short
}

// withDefaults fills in the side that has its default, so that a change names both values.
func (c Change) withDefaults(path string, had, has bool) Change {
	def := defaultOf(path)
	if !had {
		c.Old = def
	}
	if !has {
		c.New = def
	}
	return c
}

// defaultOf is the default of a field, for people; empty where it has none.
func defaultOf(path string) string {
	s := manifestShape()
	var def reflect.Value
	for _, name := range steps(path) {
		switch {
		case s.field(name) != nil:
			f := s.field(name)
			def, s = s.def.Field(f.index), f.shape
		case s.elem != nil:
			def, s = reflect.Value{}, s.elem
		default:
			return ""
		}
	}
	if def.IsValid() && def.Kind() == reflect.Pointer {
		def = def.Elem()
	}
	if !def.IsValid() || def.IsZero() && def.Kind() != reflect.Bool {
		return ""
	}
	return showValue(def)
}

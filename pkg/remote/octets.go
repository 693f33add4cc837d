package remote

import (
	"reflect"
	"strings"
	"unicode/utf8"

	"reconciler.dev/reconciler/pkg/spec"
)

// JSON has text only, and what is passed to a program is bytes. So a byte that isn't part of UTF-8 travels as a character that nothing else uses: one of the last 256 of Unicode, which are
// for private use. One of those itself travels as its bytes.
const firstOctet = 0x10ff00

// toText makes bytes text; fromText is its inverse.
func toText(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, isOctet) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && n == 1 || isOctet(r) {
			for _, octet := range []byte(s[:n]) {
				b.WriteRune(firstOctet + rune(octet))
			}
		} else {
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

func fromText(s string) string {
	if !strings.ContainsFunc(s, isOctet) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if isOctet(r) {
			b.WriteByte(byte(r - firstOctet))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func isOctet(r rune) bool { return r >= firstOctet && r <= utf8.MaxRune }

// withStrings is a copy of s with f applied to all its strings, however deep, and to the keys of its maps.
func withStrings(s spec.Spec, f func(string) string) spec.Spec {
	var to spec.Spec
	reflect.ValueOf(&to).Elem().Set(mapStrings(reflect.ValueOf(s), f))
	return to
}

func mapStrings(v reflect.Value, f func(string) string) reflect.Value {
	to := reflect.New(v.Type()).Elem()
	switch v.Kind() {
	case reflect.String:
		to.SetString(f(v.String()))
	case reflect.Pointer:
		if !v.IsNil() {
			to.Set(reflect.New(v.Type().Elem()))
			to.Elem().Set(mapStrings(v.Elem(), f))
		}
	case reflect.Slice:
		if !v.IsNil() {
			to.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		}
		for i := range v.Len() {
			to.Index(i).Set(mapStrings(v.Index(i), f))
		}
	case reflect.Map:
		if !v.IsNil() {
			to.Set(reflect.MakeMapWithSize(v.Type(), v.Len()))
		}
		for it := v.MapRange(); it.Next(); {
			to.SetMapIndex(mapStrings(it.Key(), f), mapStrings(it.Value(), f))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			to.Field(i).Set(mapStrings(v.Field(i), f))
		}
	default:
		to.Set(v)
	}
	return to
}

package spec

import (
	"crypto/sha256"
	"encoding/hex"
	"reflect"
	"strconv"
)

// digestVersion is hashed first. It must change with the form that is hashed and with any default; a digest of another version is
// then merely another digest, and Diff still says that nothing changed.
const digestVersion = "reconciler.dev/v1 digest 1\n"

// Digest returns "sha256:" and 64 hex digits that are the same for specs that mean the same: fields that have their default, empty lists and the
// order of labels, variables, files and dependencies don't count. It is safe for concurrent use.
func Digest(m Metadata, s Spec) string {
	buf := append(make([]byte, 0, 2048), digestVersion...)
	path := make([]byte, 0, 256)
	add := func(l leaf) { buf = appendLeaf(buf, l) }
	eachLeaf(metadataShape(), reflect.ValueOf(&m).Elem(), append(path, "metadata"...), Live, add)
	eachLeaf(specShape(), reflect.ValueOf(&s).Elem(), append(path, "spec"...), Live, add)
	return digestOf(buf)
}

// digestOf is "sha256:" and the SHA-256 of b, in hex.
func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// appendLeaf writes a path, a NUL, the value's length and the value: no two lists of leaves are written alike.
func appendLeaf(buf []byte, l leaf) []byte {
	buf = append(append(buf, l.path...), 0)
	var scratch [64]byte
	value := scratch[:0]
	switch v := l.value; v.Kind() {
	case reflect.String:
		s := v.String()
		buf = append(strconv.AppendInt(buf, int64(len(s)), 10), ':')
		return append(append(buf, s...), '\n')
	case reflect.Int, reflect.Int64:
		value = strconv.AppendInt(value, v.Int(), 10)
	case reflect.Uint32:
		value = strconv.AppendUint(value, v.Uint(), 10)
	case reflect.Bool:
		value = strconv.AppendBool(value, v.Bool())
	case reflect.Struct: // Rlimit
		value = strconv.AppendUint(value, v.Field(0).Uint(), 10)
		value = strconv.AppendUint(append(value, ' '), v.Field(1).Uint(), 10)
	default:
		panic("no digest of a " + v.Kind().String())
	}
	buf = append(strconv.AppendInt(buf, int64(len(value)), 10), ':')
	return append(append(buf, value...), '\n')
}

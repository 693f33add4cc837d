package spec

import (
	"fmt"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Validate returns all that is wrong with one manifest whose defaults are filled in, in the order of the fields; nil where nothing is. What only shows
// between manifests, as a cycle or a name that is used twice, is found by Load and Parse; what only shows on a disk, by Resolve.
func Validate(m Manifest) Problems {
	return validate(&m)
}

func validate(m *Manifest) Problems {
	v := daemonValidator{validator{origin: m.origin()}, m}
	v.fields(manifestShape(), reflect.ValueOf(&m.DaemonSpec).Elem(), make([]byte, 0, 64))
	v.header(m.APIVersion, m.Kind, Kind)
	v.metadata(m.Metadata)
	v.where()
	v.references()
	v.program()
	v.process()
	v.health()
	v.metrics()
	v.stopping()
	v.cgroup()
	v.sandbox()
	v.files()
	v.dependencies()
	v.path("spec.log.path", m.Spec.Log.Path)
	v.atLeast("spec.log.maxSize", int64(m.Spec.Log.MaxSize), 1<<10, "1K")
	return v.problems
}

// validator collects the problems of one document.
type validator struct {
	origin   origin
	problems Problems
}

// daemonValidator collects those of one manifest.
type daemonValidator struct {
	validator
	m *Manifest
}

func (v *validator) bad(field, format string, args ...any) {
	v.problems = v.origin.complain(v.problems, field, format, args...)
}

// fields checks what holds for every field of a kind: it is there if it must be, its number is within bounds, its word is one of
// those it may be, and no string holds a NUL, which no process can be given.
func (v *validator) fields(s *shape, val reflect.Value, path []byte) {
	if s.ptr {
		if val.IsNil() {
			return
		}
		val = val.Elem()
	}
	switch s.kind {
	case anObject, anEnvVar:
		for i := range s.fields {
			f := &s.fields[i]
			v.field(f, val.Field(f.index), appendField(path, f.name))
		}
	case aList:
		for i := range val.Len() {
			v.fields(s.elem, val.Index(i), appendIndex(path, i))
		}
	case aTable:
		if val.Len() == 0 {
			return
		}
		for _, key := range sortedKeys(val) {
			if strings.IndexByte(key, 0) >= 0 {
				v.bad(string(path), "the name %q holds a NUL, which nothing can be called", key)
				continue
			}
			v.fields(s.elem, val.MapIndex(reflect.ValueOf(key)), appendKey(path, key))
		}
	case aString:
		v.word(s, val.String(), path)
	}
}

func (v *validator) field(f *field, val reflect.Value, path []byte) {
	if f.required && f.kind != anObject && val.IsZero() {
		v.bad(string(path), "this is required")
		return
	}
	if f.kind == anInt && f.ranged() && !f.allows(val.Int()) {
		if _, _, written := v.origin.locate(string(path)); written || val.Int() != 0 {
			v.bad(string(path), "%d is out of range: %s", val.Int(), f.bounds())
		}
	}
	if string(path) == "spec.files" {
		return
	}
	v.fields(f.shape, val, path)
}

// bounds says what numbers a field allows.
func (f *field) bounds() string {
	if f.max == 0 {
		return fmt.Sprintf("the least is %d", f.min)
	}
	return fmt.Sprintf("it can be %d to %d", f.min, f.max)
}

func (v *validator) word(s *shape, got string, path []byte) {
	if strings.IndexByte(got, 0) >= 0 {
		v.bad(string(path), "this holds a NUL, which no process can be given")
		return
	}
	can := s.words
	if can == nil || got == "" || slices.Contains(can, got) {
		return
	}
	if near := nearest(got, can); near != "" {
		v.bad(string(path), "%q is none of %s: did you mean %s?", got, strings.Join(can, ", "), near)
		return
	}
	v.bad(string(path), "%q is none of %s", got, strings.Join(can, ", "))
}

func (v *daemonValidator) process() {
	s := &v.m.Spec
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		v.variable(name, s.Env[name])
	}
	v.path("spec.workingDir", s.WorkingDir)
	v.account("spec.user", s.User)
	v.account("spec.group", s.Group)
	if s.Umask != nil && *s.Umask > 0o777 {
		v.bad("spec.umask", "%v is no umask: it is 0000 to 0777", *s.Umask)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Rlimits)) {
		field := "spec.rlimits[" + name + "]"
		if name == "locks" {
			v.bad(field, "locks is reserved: this limit is without effect in Linux, and reconciler marks a daemon's process tree with it")
		} else if !slices.Contains(RlimitNames(), name) {
			v.bad(field, "unknown process limit%s", meant(name, RlimitNames()))
		}
	}
}

// RlimitNames are the process limits that a manifest may set, as prlimit(1) calls them.
func RlimitNames() []string {
	return []string{"as", "core", "cpu", "data", "fsize", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio", "rttime", "sigpending", "stack"}
}

// meant is the end of a sentence on an unknown word.
func meant(got string, can []string) string {
	if near := nearest(got, can); near != "" {
		return fmt.Sprintf(": did you mean %s?", near)
	}
	return ": it can be one of " + strings.Join(can, ", ")
}

func (v *daemonValidator) variable(name string, e EnvVar) {
	field := "spec.env[" + name + "]"
	if name == "" || strings.Contains(name, "=") {
		v.bad(field, "%q can't be a variable: its name is not empty and has no '='", name)
	}
	given := 0
	for _, is := range []bool{e.Value != nil, e.FromFile != "", e.FromEnv != ""} {
		if is {
			given++
		}
	}
	if given != 1 {
		v.bad(field, "give exactly one of value, fromFile and fromEnv, not %d of them", given)
	}
	if strings.Contains(e.FromEnv, "=") {
		v.bad(field+".fromEnv", "%q can't be a variable: its name has no '='", e.FromEnv)
	}
}

// path checks an absolute path in its shortest form, as it must be to be compared.
func (v *validator) path(field, p string) {
	switch {
	case p == "":
	case !strings.HasPrefix(p, "/"):
		v.bad(field, "%q is relative: write an absolute path", p)
	case path.Clean(p) != p:
		v.bad(field, "%q has a shorter form: write %q", p, path.Clean(p))
	}
}

func (v *validator) account(field, name string) {
	if strings.ContainsAny(name, ": \t\n/") || strings.HasPrefix(name, "-") {
		v.bad(field, "%q can't be an account: write its name or its number", name)
	}
}

func (v *daemonValidator) stopping() {
	s := &v.m.Spec
	v.url("spec.stop.url", s.Stop.URL)
	if r := s.Reload; r != nil {
		v.reload(r)
	}
	b := s.Restart.Backoff
	v.atLeastTime("spec.restart.backoff.initial", b.Initial, Duration(time.Millisecond))
	v.atLeastTime("spec.restart.backoff.resetAfter", b.ResetAfter, Duration(time.Millisecond))
	if b.Initial > b.Max {
		v.bad("spec.restart.backoff.max", "%v is less than backoff.initial, %v", b.Max, b.Initial)
	}
}

func (v *daemonValidator) reload(r *Reload) {
	v.url("spec.reload.url", r.URL)
	given := 0
	for _, is := range []bool{r.URL != "", r.Signal != "", len(r.Exec) > 0} {
		if is {
			given++
		}
	}
	if given != 1 {
		v.bad("spec.reload", "give exactly one of signal, url and exec")
	}
	e := r.Expect
	if e == nil {
		return
	}
	v.url("spec.reload.expect.url", e.URL)
	if e.URL == "" && (v.m.Spec.Health == nil || v.m.Spec.Health.URL == "") {
		v.bad("spec.reload.expect.url", "this is required, where there is no health.url")
	}
	v.httpHeader("spec.reload.expect.header", e.Header)
	if e.Header == "" && e.Body == "" {
		v.bad("spec.reload.expect", "give header, body or both")
	}
}

func (v *validator) atLeastTime(field string, d, least Duration) {
	if d < least {
		v.bad(field, "%v is too short: the least is %v", d, least)
	}
}

func (v *validator) atLeast(field string, n, least int64, text string) {
	if n < least {
		v.bad(field, "this is too small: the least is %s", text)
	}
}

package spec

import (
	"encoding"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// kind is how a type is written in a manifest.
type kind int

const (
	aText   kind = iota // a scalar with UnmarshalText
	aString             // a string
	anInt
	aBool
	anObject // fields, in a struct
	aTable   // names of the user's choice, in a map
	aList
	anEnvVar // a bare string, or an object
)

// shape is what the loader, the digest and the documentation know of a type of a manifest. It is worked out once, from the Go types.
type shape struct {
	typ    reflect.Type
	kind   kind
	ptr    bool   // the Go type is a pointer to this
	elem   *shape // of a list or a table
	fields []field
	byName map[string]int
	sorted []int    // fields by name
	words  []string // that a string may be; nil: any
	// def is a value with defaults filled in, for an object.
	def reflect.Value
}

// field is one field of an object.
type field struct {
	*shape
	name     string
	goName   string
	index    int
	class    Class
	classed  bool
	required bool
	min, max int64 // both 0: any
}

// defaulter is a type that has defaults: it sets those of its fields that are zero.
type defaulter interface{ setDefaults() }

// manifestShape is the shape of a whole document.
var manifestShape = sync.OnceValue(func() *shape { return shapeOf(reflect.TypeFor[DaemonSpec]()) })

// hostShape is that of a document that declares a host.
var hostShape = sync.OnceValue(func() *shape { return shapeOf(reflect.TypeFor[Host]()) })

// specShape and metadataShape are those of its two parts.
func specShape() *shape     { return manifestShape().field("spec").shape }
func metadataShape() *shape { return manifestShape().field("metadata").shape }

func shapeOf(t reflect.Type) *shape {
	s := &shape{typ: t}
	if t.Kind() == reflect.Pointer {
		s.ptr, t = true, t.Elem()
	}
	switch {
	case t == reflect.TypeFor[EnvVar]():
		s.kind = anEnvVar
		s.addFields(t)
	case reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		s.kind = aText
	case t.Kind() == reflect.String:
		s.kind, s.words = aString, words(t)
	case t.Kind() == reflect.Bool:
		s.kind = aBool
	case t.Kind() == reflect.Int || t.Kind() == reflect.Int64:
		s.kind = anInt
	case t.Kind() == reflect.Slice:
		s.kind, s.elem = aList, shapeOf(t.Elem())
	case t.Kind() == reflect.Map:
		s.kind, s.elem = aTable, shapeOf(t.Elem())
	case t.Kind() == reflect.Struct:
		s.kind = anObject
		s.addFields(t)
	default:
		panic("a manifest can't hold a " + t.String())
	}
	return s
}

func (s *shape) addFields(t reflect.Type) {
	s.byName = map[string]int{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		d := field{shape: shapeOf(f.Type), name: name, goName: f.Name, index: i, required: f.Tag.Get("required") == "true"}
		if c, ok := f.Tag.Lookup("class"); ok {
			if err := d.class.UnmarshalText([]byte(c)); err != nil {
				panic(err)
			}
			d.classed = true
		}
		d.min, d.max = tagInt(f.Tag.Get("min")), tagInt(f.Tag.Get("max"))
		s.byName[name] = len(s.fields)
		s.fields = append(s.fields, d)
		s.sorted = append(s.sorted, len(s.fields)-1)
	}
	slices.SortFunc(s.sorted, func(a, b int) int { return strings.Compare(s.fields[a].name, s.fields[b].name) })
	zero := reflect.New(t)
	if d, ok := zero.Interface().(defaulter); ok {
		d.setDefaults()
	}
	s.def = zero.Elem()
}

func tagInt(s string) int64 {
	if s == "" {
		return 0
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// field returns the field of that name, nil where there is none.
func (s *shape) field(name string) *field {
	if i, ok := s.byName[name]; ok {
		return &s.fields[i]
	}
	return nil
}

// ranged says whether a number of this field has bounds, and whether n is within them.
func (f *field) ranged() bool { return f.min != 0 || f.max != 0 }

func (f *field) allows(n int64) bool {
	return !f.ranged() || n >= f.min && (f.max == 0 || n <= f.max)
}

// words are the values that a type of words may have; nil for any other type.
func words(t reflect.Type) []string {
	switch t {
	case reflect.TypeFor[DriverKind]():
		return []string{"auto", "systemd", "cgroup", "process", "launchd", "job"}
	case reflect.TypeFor[BuildPlace]():
		return []string{"controller", "host"}
	case reflect.TypeFor[ArchiveFormat]():
		return []string{"tar.gz", "tar", "zip", "gz"}
	case reflect.TypeFor[UpdateStrategy]():
		return []string{"Restart", "StartFirst"}
	case reflect.TypeFor[UpdateFailure]():
		return []string{"Rollback", "Stop", "Continue"}
	case reflect.TypeFor[AgentInstall]():
		return []string{"auto", "never"}
	case reflect.TypeFor[StartType]():
		return []string{"exec", "notify", "forking"}
	case reflect.TypeFor[ProtectSystem]():
		return []string{"yes", "full", "strict"}
	case reflect.TypeFor[ProtectHome]():
		return []string{"yes", "read-only", "tmpfs"}
	case reflect.TypeFor[FailureAction]():
		return []string{"Report", "Restart"}
	case reflect.TypeFor[RestartPolicy]():
		return []string{"Always", "OnFailure", "Never"}
	case reflect.TypeFor[DependencyCondition]():
		return []string{"Started", "Ready"}
	}
	return nil
}

package spec

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
)

// schemaID is where the schema is known; it needs not be reachable.
const schemaID = "https://reconciler.dev/schemas/v1/manifest.json"

// schemaNode is as much of JSON Schema as manifests need.
type schemaNode struct {
	Schema      string                 `json:"$schema,omitempty"`
	ID          string                 `json:"$id,omitempty"`
	Title       string                 `json:"title,omitempty"`
	Description string                 `json:"description,omitempty"`
	Type        string                 `json:"type,omitempty"`
	Const       string                 `json:"const,omitempty"`
	Enum        []string               `json:"enum,omitempty"`
	Pattern     string                 `json:"pattern,omitempty"`
	Minimum     *int64                 `json:"minimum,omitempty"`
	Maximum     *int64                 `json:"maximum,omitempty"`
	MinLength   int                    `json:"minLength,omitempty"`
	MaxLength   int                    `json:"maxLength,omitempty"`
	MinItems    int                    `json:"minItems,omitempty"`
	Default     any                    `json:"default,omitempty"`
	Properties  map[string]*schemaNode `json:"properties,omitempty"`
	Names       *schemaNode            `json:"propertyNames,omitempty"`
	// Additional is false or a *schemaNode.
	Additional any           `json:"additionalProperties,omitempty"`
	Items      *schemaNode   `json:"items,omitempty"`
	Required   []string      `json:"required,omitempty"`
	AnyOf      []*schemaNode `json:"anyOf,omitempty"`
	OneOf      []*schemaNode `json:"oneOf,omitempty"`
	Not        *schemaNode   `json:"not,omitempty"`
	If         *schemaNode   `json:"if,omitempty"`
	Then       *schemaNode   `json:"then,omitempty"`
	Else       *schemaNode   `json:"else,omitempty"`
}

// Schema returns the JSON Schema (draft 2020-12) of a document, for editors: that of a Host where its kind says so, else that of a DaemonSpec. It is made
// from the Go types, their tags and their comments. It refuses nothing that Parse reads but null, and finds most of what Parse refuses.
func Schema() ([]byte, error) {
	c, err := readComments()
	if err != nil {
		return nil, err
	}
	root := &schemaNode{
		Schema: "https://json-schema.org/draft/2020-12/schema", ID: schemaID, Title: "A manifest of reconciler", Type: "object",
		If:   &schemaNode{Properties: map[string]*schemaNode{"kind": {Const: HostKind}}, Required: []string{"kind"}},
		Then: schemaMaker{c}.document(hostShape(), HostKind),
		Else: schemaMaker{c}.document(manifestShape(), Kind),
	}
	b, err := json.MarshalIndent(root, "", "  ")
	return append(b, '\n'), err
}

// document is the schema of the documents of one kind.
func (m schemaMaker) document(s *shape, kind string) *schemaNode {
	n := m.node(s)
	n.Title, n.Description = kind, m.comments.ofType(s)
	n.Properties["apiVersion"].Const, n.Properties["kind"].Const = APIVersion, kind
	n.Properties["status"] = &schemaNode{Type: "object", Description: "status is what get prints; in a manifest it is ignored."}
	return n
}

type schemaMaker struct{ comments comments }

func (m schemaMaker) node(s *shape) *schemaNode {
	switch s.kind {
	case anObject:
		return m.object(s)
	case anEnvVar:
		n := m.object(s)
		n.OneOf = oneOf("value", "fromFile", "fromEnv")
		return &schemaNode{AnyOf: []*schemaNode{{Type: "string"}, n}}
	case aList:
		return &schemaNode{Type: "array", Items: m.node(s.elem)}
	case aTable:
		return &schemaNode{Type: "object", Additional: m.node(s.elem)}
	case anInt:
		return &schemaNode{Type: "integer"}
	case aBool:
		return &schemaNode{Type: "boolean"}
	case aString:
		return &schemaNode{Type: "string", Enum: s.words}
	}
	return textNode(s.base())
}

func (m schemaMaker) object(s *shape) *schemaNode {
	n := &schemaNode{Type: "object", Additional: false, Properties: map[string]*schemaNode{}}
	for i := range s.fields {
		f := &s.fields[i]
		p := m.node(f.shape)
		p.Description = m.comments.of(s, f)
		p.Default = f.jsonDefault(s)
		if f.ranged() {
			p.Minimum = &f.min
			if f.max != 0 {
				p.Maximum = &f.max
			}
		}
		if f.required {
			n.Required = append(n.Required, f.name)
		}
		n.Properties[f.name] = p
	}
	m.refine(s, n)
	return n
}

// refine adds what the types don't tell.
func (m schemaMaker) refine(s *shape, n *schemaNode) {
	switch s.base() {
	case reflect.TypeFor[HostSpec]():
		n.Properties["address"].Pattern = `^([^-@\s][^@\s]*)?$`
		n.Properties["user"].Pattern = `^([^-\s]\S*)?$`
		n.Properties["hostKey"].Pattern = `^(\s*\S+\s+[A-Za-z0-9+/]+=*(\s.*)?)?$`
	case reflect.TypeFor[HostAgent]():
		n.Properties["path"].Pattern = "^(/.*)?$"
	case reflect.TypeFor[Metadata](), reflect.TypeFor[Dependency]():
		n.Properties["name"].Pattern = `^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
		n.Properties["name"].MaxLength = 63
	case reflect.TypeFor[Spec]():
		n.Properties["binary"].MinLength = 1
		n.AnyOf = oneOf("binary", "build", "install")
		n.Properties["listen"].Items.Pattern = "^(tcp|unix)://"
		n.Properties["host"].Pattern = `^([^-\s][^,\s]*)?$`
		n.Not = &schemaNode{Required: []string{"host", "hostSelector"}}
		n.Properties["rlimits"].Names = &schemaNode{Enum: RlimitNames()}
		n.Properties["workingDir"].Pattern = "^/"
		n.Properties["healthURL"].Pattern = "^https?://"
	case reflect.TypeFor[Health]():
		n.OneOf = oneOf("url", "tcp", "exec")
		n.Properties["url"].Pattern = "^https?://"
		n.Properties["tcp"].Pattern = `:([0-9]+|[0-9]*\$\(HOST_.*)$`
		n.Properties["exec"].MinItems = 1
	case reflect.TypeFor[Metrics]():
		n.Properties["url"].Pattern = "^https?://"
	case reflect.TypeFor[Stop]():
		n.Properties["url"].Pattern = "^https?://"
	case reflect.TypeFor[Reload]():
		n.OneOf = oneOf("signal", "url", "exec")
		n.Properties["exec"].MinItems = 1
		n.Properties["url"].Pattern = "^https?://"
	case reflect.TypeFor[File]():
		n.OneOf = oneOf("content", "from")
		n.Properties["path"].Pattern = "^/."
	case reflect.TypeFor[Log]():
		n.Properties["path"].Pattern = "^/."
	}
}

// oneOf requires exactly one of some fields.
func oneOf(names ...string) []*schemaNode {
	var out []*schemaNode
	for _, name := range names {
		out = append(out, &schemaNode{Required: []string{name}})
	}
	return out
}

// textNode is the schema of a scalar with its own text form, and of the bare numbers that may stand for it.
func textNode(t reflect.Type) *schemaNode {
	none := int64(0)
	pattern := func(p string) *schemaNode { return &schemaNode{Type: "string", Pattern: p} }
	or := func(nodes ...*schemaNode) *schemaNode { return &schemaNode{AnyOf: nodes} }
	switch t {
	case reflect.TypeFor[Duration]():
		return or(pattern(`^([0-9]+(\.[0-9]*)?(ns|us|µs|ms|s|m|h))+$|^0$`), &schemaNode{Type: "integer", Minimum: &none, Maximum: &none})
	case reflect.TypeFor[Bytes]():
		return or(pattern(`^[0-9]+(\.[0-9]+)?([KMGT]i?B?)?$|^infinity$`), &schemaNode{Type: "integer", Minimum: &none})
	case reflect.TypeFor[CPU]():
		return or(pattern(`^[0-9]+(\.[0-9]+)?[%m]?$`), &schemaNode{Type: "number", Minimum: &none})
	case reflect.TypeFor[Mode]():
		return pattern(`^(0o)?[0-7]{1,5}$`)
	case reflect.TypeFor[Rlimit]():
		return or(pattern(`^([0-9]+|infinity)(:([0-9]+|infinity))?$`), &schemaNode{Type: "integer", Minimum: &none})
	case reflect.TypeFor[Signal]():
		return or(&schemaNode{Type: "string", Enum: signals()}, pattern(`^[A-Za-z0-9]+$`))
	}
	panic(fmt.Sprintf("no schema of a %v", t))
}

// jsonDefault is the default of a field as JSON, nil where it has none or it is zero.
func (f *field) jsonDefault(owner *shape) any {
	def := owner.def.Field(f.index)
	if f.kind == anObject || def.IsZero() {
		return nil
	}
	if def.Kind() == reflect.Pointer {
		def = def.Elem()
	}
	text := showPlain(def)
	if f.kind == anInt {
		n, err := strconv.ParseInt(text, 10, 64)
		if err == nil {
			return n
		}
	}
	return text
}

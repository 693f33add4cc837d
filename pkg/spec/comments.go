package spec

import (
	"embed"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strings"
)

// sources are the files with the types of manifests in them.
//
//go:embed types.go types_program.go host.go
var sources embed.FS

// comments are the doc comments of the types of a manifest, by TYPE and TYPE.FIELD in Go's names: the one source of what schema, explain and the manual say.
type comments map[string]string

// readComments reads them from the source of this package, which the program carries.
func readComments() (comments, error) {
	c := comments{}
	for _, name := range []string{"types.go", "types_program.go", "host.go"} {
		source, err := sources.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read the comments: %w", err)
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("read the comments of %s: %w", name, err)
		}
		for _, d := range file.Decls {
			if decl, ok := d.(*ast.GenDecl); ok && decl.Tok == token.TYPE {
				c.read(decl)
			}
		}
	}
	return c, nil
}

// read reads those of a type and its fields.
func (c comments) read(decl *ast.GenDecl) {
	t := decl.Specs[0].(*ast.TypeSpec)
	c[t.Name.Name] = oneLine(decl.Doc)
	object, ok := t.Type.(*ast.StructType)
	if !ok {
		return
	}
	for _, f := range object.Fields.List {
		c[t.Name.Name+"."+f.Names[0].Name] = oneLine(f.Doc)
	}
}

func oneLine(g *ast.CommentGroup) string { return strings.Join(strings.Fields(g.Text()), " ") }

// of is what a field of an object means, said to somebody who writes a manifest: Go's name is the manifest's there.
func (c comments) of(owner *shape, f *field) string {
	text := c[owner.base().Name()+"."+f.goName]
	if rest, ok := strings.CutPrefix(text, f.goName+" "); ok {
		text = f.name + " " + rest
	}
	return text
}

// ofType is what a type means.
func (c comments) ofType(s *shape) string { return c[s.base().Name()] }

// cutDefault cuts "Default: X." off the end of a comment.
func cutDefault(text string) (rest, def string) {
	rest, def, found := strings.Cut(text, "Default: ")
	if !found {
		return text, ""
	}
	return strings.TrimSpace(rest), strings.TrimSuffix(def, ".")
}

// base is the type without its pointer.
func (s *shape) base() reflect.Type {
	if s.ptr {
		return s.typ.Elem()
	}
	return s.typ
}

// typeName is what a manual calls the type.
func (s *shape) typeName() string {
	switch s.kind {
	case anObject:
		return "object"
	case anEnvVar:
		return "string or object"
	case aList:
		return "list of " + s.elem.plural()
	case aTable:
		return "map of names to " + s.elem.plural()
	case anInt:
		return "integer"
	case aBool:
		return "true or false"
	case aString:
		return "string"
	}
	switch s.base() {
	case reflect.TypeFor[Bytes]():
		return "size"
	case reflect.TypeFor[CPU]():
		return "CPU time"
	case reflect.TypeFor[Rlimit]():
		return "limit"
	}
	return strings.ToLower(s.base().Name())
}

func (s *shape) plural() string {
	switch name := s.typeName(); name {
	case "string or object":
		return "strings or objects"
	default:
		return name + "s"
	}
}

package arch

import (
	"go/ast"
	"slices"
	"strings"
)

func checkPackageDoc(f *folder, report func(ast.Node, string, string)) {
	files := f.code()
	if len(files) == 0 {
		files = f.files
	}
	if !slices.ContainsFunc(files, func(s *source) bool { return s.Doc != nil }) {
		report(files[0].Name, "package", "package "+files[0].Name.Name+" has no comment")
	}
}

// wellKnown are methods whose contract stands in the standard library.
func wellKnown() []string {
	return []string{"String", "GoString", "Error", "Unwrap", "Is", "As", "MarshalJSON", "UnmarshalJSON", "MarshalText", "UnmarshalText", "MarshalYAML", "UnmarshalYAML",
		"Len", "Less", "Swap", "Push", "Pop", "Read", "Write", "Close"}
}

func checkDocs(f *folder, report func(ast.Node, string, string)) {
	for _, s := range f.code() {
		for _, d := range s.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if exportedFunc(d) && d.Doc == nil {
					report(d, d.Name.Name, d.Name.Name+" has no comment")
				}
			case *ast.GenDecl:
				checkDeclDocs(d, report)
			}
		}
	}
}

func exportedFunc(d *ast.FuncDecl) bool {
	if !d.Name.IsExported() {
		return false
	}
	if d.Recv == nil {
		return true
	}
	return ast.IsExported(receiver(d)) && !slices.Contains(wellKnown(), d.Name.Name)
}

func receiver(d *ast.FuncDecl) string {
	t := d.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

// checkDeclDocs wants a comment on each exported type, and on each exported constant and variable or their group.
func checkDeclDocs(d *ast.GenDecl, report func(ast.Node, string, string)) {
	for _, sp := range d.Specs {
		switch sp := sp.(type) {
		case *ast.TypeSpec:
			if sp.Name.IsExported() && sp.Doc == nil && sp.Comment == nil && (d.Doc == nil || d.Lparen.IsValid()) {
				report(sp, sp.Name.Name, sp.Name.Name+" has no comment")
			}
		case *ast.ValueSpec:
			for _, name := range sp.Names {
				if name.IsExported() && sp.Doc == nil && sp.Comment == nil && d.Doc == nil {
					report(name, name.Name, name.Name+" has no comment")
				}
			}
		}
	}
}

func checkUnfinished(f *folder, report func(ast.Node, string, string)) {
	for _, s := range f.files {
		for _, g := range s.Comments {
			for _, c := range g.List {
				for _, mark := range []string{"TO" + "DO", "FIX" + "ME", "XX" + "X"} {
					if strings.Contains(c.Text, mark) {
						report(c, mark, "is unfinished: "+c.Text)
					}
				}
			}
		}
	}
}

func documentRules() []rule {
	return []rule{{
		name:  "packages are documented",
		why:   "a package says what it is for and what it must never do",
		check: checkPackageDoc,
		bad: []map[string]string{
			one("pkg/spec/a.go", "package p\n"),
			{"pkg/spec/a.go": "package p\n", "pkg/spec/a_test.go": "// Package p.\npackage p\n"},
		},
		good: []map[string]string{
			{"pkg/spec/a.go": "package p\n", "pkg/spec/doc.go": "// Package p is.\npackage p\n"},
			one("test/e2e/a_test.go", "// Package p is only tests.\npackage p\n"),
		},
	}, {
		name:  "exported names are documented",
		why:   "an exported name says what it promises",
		check: checkDocs,
		bad: []map[string]string{
			one("pkg/spec/a.go", "package p\nfunc F() {}\n"),
			one("pkg/spec/a.go", "package p\ntype T int\n"),
			one("pkg/spec/a.go", "package p\n// They are.\ntype (\n\tT int\n)\n"),
			one("pkg/spec/a.go", "package p\nconst C = 1\n"),
			one("pkg/spec/a.go", "package p\nvar V = 1\n"),
			one("pkg/spec/a.go", "package p\n// T is.\ntype T[E any] int\nfunc (*T[E]) M() {}\n"),
		},
		good: []map[string]string{
			one("pkg/spec/a.go", "package p\n// F does.\nfunc F() {}\nfunc f() {}\n"),
			one("pkg/spec/a.go", "package p\ntype t int\nfunc (t) M() {}\n"),
			one("pkg/spec/a.go", "package p\n// T is.\ntype T int\nfunc (T) String() string { return \"\" }\n"),
			one("pkg/spec/a.go", "package p\n// They are.\nconst (\n\tA = 1\n\tB = 2\n)\n"),
			one("pkg/spec/a_test.go", "package p\nfunc TestA() {}\n"),
		},
	}, {
		name:  "nothing unfinished",
		why:   "what isn't done is done or taken out before it lands",
		check: checkUnfinished,
		bad:   []map[string]string{one("pkg/spec/a.go", "package p\n// TO"+"DO: more\n")},
		good:  []map[string]string{one("pkg/spec/a.go", "package p\n// Done.\n")},
	}}
}

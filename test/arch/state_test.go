package arch

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

func checkInit(f *folder, report func(ast.Node, string, string)) {
	for _, s := range f.files {
		for _, d := range s.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				report(fn, "init", "has an init function")
			}
		}
	}
}

func checkContextFields(f *folder, report func(ast.Node, string, string)) {
	for _, s := range f.files {
		local := s.importName("context")
		if local == "" {
			continue
		}
		ast.Inspect(s.File, func(n ast.Node) bool {
			st, ok := n.(*ast.StructType)
			if !ok {
				return true
			}
			for _, field := range st.Fields.List {
				if sel, ok := field.Type.(*ast.SelectorExpr); ok && sel.Sel.Name == "Context" && isIdent(sel.X, local) {
					report(field, "context", "keeps a context in a struct")
				}
			}
			return true
		})
	}
}

func checkBackground(f *folder, report func(ast.Node, string, string)) {
	for _, s := range f.code() {
		if s.Name.Name == "main" {
			continue
		}
		s.uses("context", func(n ast.Node, name string) {
			if name == "Background" || name == "TODO" {
				report(n, "context", "makes a context of its own with context."+name)
			}
		})
	}
}

func checkSleep(f *folder, report func(ast.Node, string, string)) {
	for _, s := range f.code() {
		s.uses("time", func(n ast.Node, name string) {
			if name == "Sleep" {
				report(n, "sleep", "sleeps")
			}
		})
	}
}

// checkVariables refuses package-level variables that can change: those without a value or with one that isn't plainly a constant table,
// an error or a compiled pattern, and those that anything in the package assigns to.
func checkVariables(f *folder, report func(ast.Node, string, string)) {
	assigned := map[string]bool{}
	for _, s := range f.files {
		for _, d := range s.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
				assignments(fn, assigned)
			}
		}
	}
	for _, s := range f.code() {
		for _, d := range s.Decls {
			decl, ok := d.(*ast.GenDecl)
			if !ok || decl.Tok != token.VAR {
				continue
			}
			for _, sp := range decl.Specs {
				v := sp.(*ast.ValueSpec)
				if embeds(decl, v) {
					continue
				}
				for i, name := range v.Names {
					switch {
					case name.Name == "_":
					case i >= len(v.Values):
						report(name, name.Name, "the variable "+name.Name+" has no value: it is meant to change")
					case !constant(v.Values[i]):
						report(name, name.Name, "the variable "+name.Name+" is neither a table, an error nor a pattern")
					case assigned[name.Name]:
						report(name, name.Name, "the variable "+name.Name+" is changed in this package")
					}
				}
			}
		}
	}
}

func embeds(decl *ast.GenDecl, v *ast.ValueSpec) bool {
	for _, doc := range []*ast.CommentGroup{decl.Doc, v.Doc} {
		if doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") }) {
			return true
		}
	}
	return false
}

// constant reports whether an expression makes something that nobody means to change.
func constant(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.BasicLit, *ast.Ident, *ast.SelectorExpr:
		return true
	case *ast.ParenExpr:
		return constant(e.X)
	case *ast.UnaryExpr:
		return e.Op != token.AND && constant(e.X)
	case *ast.BinaryExpr:
		return constant(e.X) && constant(e.Y)
	case *ast.CompositeLit:
		sel, ok := e.Type.(*ast.SelectorExpr)
		return !ok || !isIdent(sel.X, "sync") && !isIdent(sel.X, "atomic")
	case *ast.CallExpr:
		if _, ok := e.Fun.(*ast.ArrayType); ok {
			return true
		}
		sel, ok := e.Fun.(*ast.SelectorExpr)
		if !ok {
			return false
		}
		id, ok := sel.X.(*ast.Ident)
		return ok && slices.Contains([]string{"errors.New", "fmt.Errorf", "regexp.MustCompile", "strings.NewReplacer", "sync.OnceValue"}, id.Name+"."+sel.Sel.Name)
	}
	return false
}

// assignments collects the names that a function changes and doesn't declare itself.
func assignments(fn *ast.FuncDecl, names map[string]bool) {
	local, changed := map[string]bool{}, map[string]bool{}
	ast.Inspect(fn, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			for _, id := range n.Names {
				local[id.Name] = true
			}
		case *ast.ValueSpec:
			for _, id := range n.Names {
				local[id.Name] = true
			}
		case *ast.RangeStmt:
			for _, e := range []ast.Expr{n.Key, n.Value} {
				note(e, n.Tok, local, changed)
			}
		case *ast.AssignStmt:
			for _, e := range n.Lhs {
				note(e, n.Tok, local, changed)
			}
		case *ast.IncDecStmt:
			note(n.X, token.ASSIGN, local, changed)
		case *ast.UnaryExpr:
			if n.Op == token.AND {
				note(n.X, token.ASSIGN, local, changed)
			}
		case *ast.CallExpr:
			if (isIdent(n.Fun, "delete") || isIdent(n.Fun, "clear")) && len(n.Args) > 0 {
				note(n.Args[0], token.ASSIGN, local, changed)
			}
		}
		return true
	})
	for name := range changed {
		if !local[name] {
			names[name] = true
		}
	}
}

// note files the variable at the root of an expression under what is declared or what is changed.
func note(e ast.Expr, tok token.Token, local, changed map[string]bool) {
	for {
		switch x := e.(type) {
		case *ast.IndexExpr:
			e = x.X
		case *ast.SelectorExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		case *ast.Ident:
			if tok == token.DEFINE {
				local[x.Name] = true
			} else {
				changed[x.Name] = true
			}
			return
		default:
			return
		}
	}
}

func isIdent(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}

func stateRules() []rule {
	return []rule{{
		name:  "no init",
		why:   "nothing happens because something was imported",
		check: checkInit,
		bad:   []map[string]string{one("pkg/spec/a.go", "package p\nfunc init() {}\n")},
		good:  []map[string]string{one("pkg/spec/a.go", "package p\ntype t int\nfunc (t) init() {}\n")},
	}, {
		name:  "no global state",
		why:   "two engines in one process must not meet",
		check: checkVariables,
		allow: map[string]string{
			"internal/spawn forks":      "guards an attribute that the kernel keeps once for the whole process; it holds no data",
			"internal/failpoint passed": "counts in a test build how often a point in the program was passed; a program has one of each point",
		},
		bad: []map[string]string{
			one("pkg/spec/a.go", "package p\nvar count int\n"),
			one("pkg/spec/a.go", "package p\nvar cache = map[string]int{}\nfunc f() { cache[\"a\"] = 1 }\n"),
			{"pkg/spec/a.go": "package p\nvar table = []int{1}\n", "pkg/spec/b.go": "package p\nfunc f() { table = nil }\n"},
			one("pkg/spec/a.go", "package p\nvar now = 1\nfunc f() { p := &now; _ = p }\n"),
			one("pkg/spec/a.go", "package p\nvar table = map[int]int{}\nfunc f() { delete(table, 1) }\n"),
			one("pkg/spec/a.go", "package p\nvar n = 0\nfunc f() { n++ }\n"),
			one("pkg/spec/a.go", "package p\nimport \"sync\"\nvar mu = sync.Mutex{}\n"),
			one("pkg/spec/a.go", "package p\nvar h = &handler{}\n"),
			one("pkg/spec/a.go", "package p\nvar h = newHandler()\n"),
			{"pkg/spec/a.go": "package p\nvar now = time.Now\n", "pkg/spec/a_test.go": "package p\nfunc f() { now = nil }\n"},
		},
		good: []map[string]string{
			one("pkg/spec/a.go", "package p\nimport \"errors\"\nvar ErrX = errors.New(\"x\")\n"),
			one("pkg/spec/a.go", "package p\nimport \"regexp\"\nvar word = regexp.MustCompile(`a`)\n"),
			one("pkg/spec/a.go", "package p\n//go:embed a.txt\nvar text string\n"),
			one("pkg/spec/a.go", "package p\nimport \"sync\"\nvar table = sync.OnceValue(func() int { return 1 })\n"),
			one("pkg/spec/a.go", "package p\nvar _ fmt.Stringer = (*T)(nil)\n"),
			one("pkg/spec/a.go", "package p\nvar table = map[string]int{\"a\": 1}\nfunc f() int { table := 2; table = 3; return table }\n"),
			one("pkg/spec/a_test.go", "package p\nvar count int\n"),
		},
	}, {
		name:  "no context in a struct",
		why:   "a context belongs to a call; the first parameter carries it",
		check: checkContextFields,
		bad: []map[string]string{
			one("pkg/spec/a.go", "package p\nimport \"context\"\ntype t struct { ctx context.Context }\n"),
			one("pkg/spec/a.go", "package p\nimport \"context\"\ntype t struct { context.Context }\n"),
			one("cmd/reconciler/a.go", "package main\nimport c \"context\"\nvar _ = struct { ctx c.Context }{}\n"),
		},
		good: []map[string]string{
			one("pkg/spec/a.go", "package p\nimport \"context\"\ntype t struct { f func(context.Context) }\n"),
		},
	}, {
		name:  "no context from nowhere",
		why:   "only main may begin a context; everything else is given one, so that ^C reaches it",
		check: checkBackground,
		bad: []map[string]string{
			one("pkg/spec/a.go", "package p\nimport \"context\"\nvar _ = context.Background()\n"),
			one("pkg/spec/a.go", "package p\nimport \"context\"\nvar _ = context.TODO()\n"),
		},
		good: []map[string]string{
			one("cmd/reconciler/a.go", "package main\nimport \"context\"\nvar _ = context.Background()\n"),
			one("pkg/spec/a_test.go", "package p\nimport \"context\"\nvar _ = context.Background()\n"),
			one("pkg/spec/a.go", "package p\nimport \"context\"\nvar _ = context.WithoutCancel(nil)\n"),
		},
	}, {
		name:  "no sleep",
		why:   "whoever waits, waits for something, and can be told to stop",
		check: checkSleep,
		bad:   []map[string]string{one("pkg/spec/a.go", "package p\nimport \"time\"\nfunc f() { time.Sleep(1) }\n")},
		good: []map[string]string{
			one("pkg/spec/a_test.go", "package p\nimport \"time\"\nfunc f() { time.Sleep(1) }\n"),
			one("pkg/spec/a.go", "package p\nimport \"time\"\nfunc f() { <-time.After(1) }\n"),
		},
	}}
}

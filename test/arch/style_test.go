package arch

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
)

// Longer files want a second one.
const (
	maxLines     = 500
	maxTestLines = 700
)

func checkLength(f *folder, report func(ast.Node, string, string)) {
	for _, s := range f.files {
		limit := maxLines
		if s.test {
			limit = maxTestLines
		}
		if s.size > limit {
			report(s.Name, s.name, fmt.Sprintf("has %d lines, more than %d", s.size, limit))
		}
	}
}

func checkErrorText(f *folder, report func(ast.Node, string, string)) {
	for _, s := range f.code() {
		ast.Inspect(s.File, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !(isIdent(sel.X, "fmt") && sel.Sel.Name == "Errorf" || isIdent(sel.X, "errors") && sel.Sel.Name == "New") {
				return true
			}
			lit, ok := call.Args[0].(*ast.BasicLit)
			if !ok {
				return true
			}
			text := strings.ToLower(strings.Trim(lit.Value, "\"`"))
			for _, filler := range []string{"failed to ", "error while ", "unable to ", "an error occurred"} {
				if strings.Contains(text, filler) {
					report(lit, "error", fmt.Sprintf("an error says %q: begin with the verb that was attempted", filler))
				}
			}
			return true
		})
	}
}

func checkOutput(f *folder, report func(ast.Node, string, string)) {
	if !f.within("pkg", "internal") {
		return
	}
	for _, s := range f.code() {
		s.uses("os", func(n ast.Node, name string) {
			if slices.Contains([]string{"Stdout", "Stderr", "Stdin", "Exit"}, name) {
				report(n, "os."+name, "uses os."+name)
			}
		})
		s.uses("fmt", func(n ast.Node, name string) {
			if strings.HasPrefix(name, "Print") {
				report(n, "fmt."+name, "uses fmt."+name)
			}
		})
		s.uses("log", func(n ast.Node, name string) { report(n, "log."+name, "uses log."+name) })
	}
}

func checkSkips(f *folder, report func(ast.Node, string, string)) {
	for _, s := range f.files {
		if !s.test && !f.within("pkg/drivers/driverstest", "test") {
			continue
		}
		ast.Inspect(s.File, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if ok && slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, sel.Sel.Name) && isIdentOf(sel.X, "t", "b", "f", "tb") {
				report(call, "skip", "skips")
			}
			return true
		})
	}
}

func isIdentOf(e ast.Expr, names ...string) bool {
	id, ok := e.(*ast.Ident)
	return ok && slices.Contains(names, id.Name)
}

func checkTested(f *folder, report func(ast.Node, string, string)) {
	if f.product() && !slices.ContainsFunc(f.files, func(s *source) bool { return s.test }) {
		report(f.files[0].Name, "tests", f.path+" has no test file")
	}
}

func styleRules() []rule {
	long := func(lines int) string { return "package p\n" + strings.Repeat("\n", lines-1) }
	return []rule{{
		name:  "short files",
		why:   "a file is read in one sitting",
		check: checkLength,
		bad:   []map[string]string{one("pkg/spec/a.go", "%s", long(maxLines+1)), one("pkg/spec/a_test.go", "%s", long(maxTestLines+1))},
		good:  []map[string]string{one("pkg/spec/a.go", "%s", long(maxLines)), one("pkg/spec/a_test.go", "%s", long(maxTestLines))},
	}, {
		name:  "plain errors",
		why:   "an error begins with what was attempted",
		check: checkErrorText,
		bad: []map[string]string{
			one("pkg/spec/a.go", "package p\nimport \"fmt\"\nvar _ = fmt.Errorf(\"failed to start: %%w\", nil)\n"),
			one("pkg/spec/a.go", "package p\nimport \"errors\"\nvar _ = errors.New(\"web: unable to start\")\n"),
		},
		good: []map[string]string{one("pkg/spec/a.go", "package p\nimport \"fmt\"\nvar _ = fmt.Errorf(\"start daemon web: %%w\", nil)\n")},
	}, {
		name:  "only cmd speaks",
		why:   "what a program prints and how it exits is decided in one place",
		check: checkOutput,
		allow: map[string]string{
			"pkg/spec os.Stdin": "the source - is stdin by its contract",
		},
		bad: []map[string]string{
			one("pkg/spec/a.go", "package p\nimport \"fmt\"\nfunc f() { fmt.Println() }\n"),
			one("internal/procfs/a.go", "package p\nimport \"os\"\nfunc f() { os.Exit(1) }\n"),
			one("internal/procfs/a.go", "package p\nimport \"log\"\nfunc f() { log.Print() }\n"),
		},
		good: []map[string]string{
			one("pkg/spec/a.go", "package p\nimport \"fmt\"\nvar _ = fmt.Sprint()\n"),
			one("cmd/reconciler/a.go", "package main\nimport \"os\"\nfunc f() { os.Exit(1) }\n"),
		},
	}, {
		name:  "no skips",
		why:   "a test that lacks something fails and names it",
		check: checkSkips,
		allow: map[string]string{
			"test/labhost skip": "who isn't root can't make hosts; CI is root, and takes a skip for a failure",
		},
		bad: []map[string]string{
			one("pkg/spec/a_test.go", "package p\nfunc TestA(t *testing.T) { t.Skip(\"later\") }\n"),
			one("pkg/drivers/driverstest/a.go", "package p\nfunc f(t *testing.T) { t.Run(\"a\", func(t *testing.T) { t.SkipNow() }) }\n"),
		},
		good: []map[string]string{one("pkg/spec/a_test.go", "package p\nfunc TestA(t *testing.T) { r.Skip() }\n")},
	}, {
		name:  "every package is tested",
		why:   "tests are the readable specification of a package",
		check: checkTested,
		allow: map[string]string{},
		bad:   []map[string]string{one("internal/procfs/a.go", "package p\n")},
		good:  []map[string]string{{"internal/procfs/a.go": "package p\n", "internal/procfs/a_test.go": "package p\n"}},
	}}
}

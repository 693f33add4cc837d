package arch

import (
	"go/ast"
	"slices"
)

func checkForks(f *folder, report func(ast.Node, string, string)) {
	if !f.product() || f.within("internal/spawn") {
		return
	}
	for _, s := range f.code() {
		for _, imp := range s.Imports {
			if importOf(imp) == "os/exec" {
				report(imp, "os/exec", "imports os/exec")
			}
		}
		for importPath, names := range map[string][]string{
			"syscall":               {"ForkExec", "StartProcess", "Exec", "SYS_FORK", "SYS_CLONE", "SYS_CLONE3", "SYS_VFORK", "SYS_EXECVE"},
			"golang.org/x/sys/unix": {"Exec", "SYS_FORK", "SYS_CLONE", "SYS_CLONE3", "SYS_VFORK", "SYS_EXECVE"},
			"os":                    {"StartProcess"},
		} {
			s.uses(importPath, func(n ast.Node, name string) {
				if slices.Contains(names, name) {
					report(n, importPath+"."+name, "starts a process with "+importPath+"."+name)
				}
			})
		}
	}
}

func checkShell(f *folder, report func(ast.Node, string, string)) {
	if !f.product() {
		return
	}
	for _, s := range f.code() {
		ast.Inspect(s.File, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && slices.Contains([]string{`"-c"`, `"-lc"`, `"-ec"`, "`-c`"}, lit.Value) {
				report(lit, "shell", "calls a shell with "+lit.Value)
			}
			return true
		})
	}
}

func processRules() []rule {
	return []rule{{
		name:  "one place forks",
		why:   "every child must carry its tag or none, so all forks pass through internal/spawn and its lock",
		check: checkForks,
		allow: map[string]string{
			"pkg/drivers/driverstest os/exec": "builds the test program; it is linked into tests only, and starts no daemon",
		},
		bad: []map[string]string{
			one("pkg/drivers/local/a.go", "package p\nimport _ \"os/exec\"\n"),
			one("internal/procfs/a.go", "package p\nimport \"syscall\"\nvar _, _ = syscall.ForkExec(\"\", nil, nil)\n"),
			one("cmd/reconciler/a.go", "package p\nimport \"os\"\nvar _, _ = os.StartProcess(\"\", nil, nil)\n"),
			one("pkg/spec/a.go", "package p\nimport u \"golang.org/x/sys/unix\"\nvar _ = u.SYS_CLONE3\n"),
		},
		good: []map[string]string{
			one("internal/spawn/a.go", "package p\nimport _ \"os/exec\"\n"),
			one("pkg/spec/a_test.go", "package p\nimport _ \"os/exec\"\n"),
			one("hack/bench/a.go", "package p\nimport _ \"os/exec\"\n"),
			one("pkg/spec/a.go", "package p\nimport \"syscall\"\nvar _ = syscall.SIGTERM\n"),
		},
	}, {
		name:  "no shell",
		why:   "nothing that a user wrote passes through a shell",
		check: checkShell,
		bad:   []map[string]string{one("pkg/drivers/local/a.go", "package p\nvar _ = []string{\"sh\", \"-c\", \"x\"}\n")},
		good:  []map[string]string{one("pkg/drivers/local/a_test.go", "package p\nvar _ = []string{\"sh\", \"-c\", \"x\"}\n")},
	}}
}

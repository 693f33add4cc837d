package arch

import (
	"go/ast"
	"slices"
	"strings"
)

// room is a folder tree and what of this module it may import; a tree ends in /*.
type room struct {
	tree string
	may  []string
}

// rooms are searched in order, the first that matches counts. spec <- drivers <- drivers/*; spec, drivers <- reconcile, programs; spec, drivers, remote/link <- remote;
// everything <- cmd.
func rooms() []room {
	return []room{
		{"pkg/spec", nil},
		{"pkg/drivers", []string{"pkg/spec", "internal/*"}},
		{"pkg/drivers/cgroup", []string{"pkg/drivers", "pkg/drivers/process", "pkg/spec", "internal/*"}}, // a cgroup daemon is a plain process in a leaf
		{"pkg/drivers/*", []string{"pkg/drivers", "pkg/spec", "internal/*"}},
		{"pkg/reconcile", []string{"pkg/drivers", "pkg/spec", "internal/*"}},
		{"pkg/programs", []string{"pkg/drivers", "pkg/spec", "internal/*"}},
		{"pkg/remote", []string{"pkg/drivers", "pkg/spec", "pkg/remote/link", "internal/*"}},
		{"pkg/remote/*", []string{"pkg/drivers", "pkg/spec", "pkg/remote/link", "internal/*"}},
		{"internal/usage", []string{"pkg/spec", "internal/*"}}, // it fills in a spec.Sample, and a second type with all its figures would only be copied
		{"internal/web", []string{"pkg/spec", "internal/*"}},   // it shows what spec says
		{"internal/web/*", []string{"pkg/spec", "internal/*"}},
		{"internal/*", []string{"internal/*"}},
		{"cmd/*", []string{"pkg/*", "internal/*"}},
		{"examples", []string{"pkg/spec"}}, // a test loads the manifests
		{"examples/*", nil},
		{"hack/*", []string{"pkg/*", "internal/*", "test/labhost", "test/sshlab", "test/simhost", "test/outage", "test/browser"}}, // measurements are taken on hosts, too
		{"test/*", []string{"pkg/*", "internal/*", "test/*"}},
	}
}

// testMay is what test files may import beside what their package may.
func testMay() []string {
	return []string{"pkg/drivers/driverstest", "internal/*", "test/labhost", "test/sshlab", "test/simhost", "test/browser"}
}

func matches(pattern, path string) bool {
	if tree, ok := strings.CutSuffix(pattern, "/*"); ok {
		return strings.HasPrefix(path, tree+"/")
	}
	return pattern == path
}

func checkArrows(f *folder, report func(ast.Node, string, string)) {
	i := slices.IndexFunc(rooms(), func(r room) bool { return matches(r.tree, f.path) })
	for _, s := range f.files {
		if i < 0 {
			report(s.Name, "room", "this folder is none of the module's rooms")
			return
		}
		may := rooms()[i].may
		if s.test {
			may = append(slices.Clone(may), testMay()...)
		}
		for _, imp := range s.Imports {
			to, ours := strings.CutPrefix(importOf(imp), module+"/")
			if !ours || to == f.path || slices.ContainsFunc(may, func(p string) bool { return matches(p, to) }) {
				continue
			}
			report(imp, to, f.path+" imports "+to)
		}
	}
}

// dependency is a module that isn't ours, and the trees whose code may import it. Tests may import it where code may.
type dependency struct {
	path  string
	trees []string
}

func dependencies() []dependency {
	return []dependency{
		{"sigs.k8s.io/yaml", []string{"pkg/spec", "cmd"}},
		{"go.yaml.in/yaml/v3", []string{"pkg/spec"}},
		{"github.com/invopop/jsonschema", []string{"pkg/spec"}},
		{"github.com/fsnotify/fsnotify", []string{"pkg/reconcile", "pkg/drivers", "internal"}},
		{"github.com/containerd/cgroups/v3", []string{"pkg/drivers/cgroup"}},
		{"github.com/shirou/gopsutil/v4", []string{"internal/usage"}}, // figures where the kernel isn't Linux
		{"golang.org/x/sys", []string{"pkg/drivers", "pkg/reconcile", "internal", "cmd", "hack", "test"}},
		{"github.com/coreos/go-systemd/v22", []string{"pkg/drivers/systemd", "hack"}},
		{"github.com/godbus/dbus/v5", []string{"pkg/drivers/systemd", "pkg/drivers/cgroup", "hack"}}, // the connection below go-systemd
		{"github.com/go-logr/logr", []string{"pkg", "internal", "cmd"}},
		{"golang.org/x/crypto", []string{"pkg/remote", "hack", "test"}}, // SSH
		{"golang.org/x/term", []string{"cmd"}},                          // asks for a passphrase, and is the terminal of top
		{"github.com/spf13/cobra", []string{"cmd"}},
		{"github.com/spf13/pflag", []string{"cmd"}},                // part of cobra: the kinds of its errors
		{"github.com/prometheus/common", []string{"internal/web"}}, // tests: what it reads is what we wrote
		{"github.com/google/go-cmp", []string{"pkg/drivers/driverstest"}},
	}
}

func checkDependencies(f *folder, report func(ast.Node, string, string)) {
	for _, s := range f.files {
		for _, imp := range s.Imports {
			to := importOf(imp)
			if !strings.Contains(strings.Split(to, "/")[0], ".") || to == module || strings.HasPrefix(to, module+"/") {
				continue // the standard library's, or ours
			}
			i := slices.IndexFunc(dependencies(), func(d dependency) bool { return to == d.path || strings.HasPrefix(to, d.path+"/") })
			switch {
			case i < 0:
				report(imp, to, "imports "+to+", which is none of the module's dependencies")
			case s.test && dependencies()[i].path == "github.com/google/go-cmp":
			case !f.within(dependencies()[i].trees...):
				report(imp, to, f.path+" imports "+to)
			}
		}
	}
}

func importRules() []rule {
	importing := func(name, what string) map[string]string {
		return one(name, "package p\nimport _ %q\n", what)
	}
	return []rule{{
		name:  "arrows",
		why:   "the rooms may only import what stands below them; cmd alone wires",
		check: checkArrows,
		bad: []map[string]string{
			importing("pkg/spec/a.go", module+"/internal/procfs"),
			importing("pkg/drivers/a.go", module+"/pkg/reconcile"),
			importing("pkg/drivers/a.go", module+"/pkg/drivers/process"),
			importing("pkg/drivers/process/a.go", module+"/pkg/drivers/local"),
			importing("pkg/reconcile/a.go", module+"/pkg/drivers/process"),
			importing("pkg/reconcile/a.go", module+"/pkg/drivers/driverstest"),
			importing("pkg/remote/link/a.go", module+"/pkg/remote"),
			importing("pkg/remote/a.go", module+"/pkg/reconcile"),
			importing("internal/procfs/a.go", module+"/pkg/spec"),
			importing("examples/hello/a.go", module+"/pkg/spec"),
			importing("test/e2e/a.go", module+"/cmd/reconciler"),
			importing("other/a.go", "fmt"),
		},
		good: []map[string]string{
			importing("pkg/drivers/process/a.go", module+"/internal/procfs"),
			importing("pkg/drivers/process/a_test.go", module+"/pkg/drivers/driverstest"),
			importing("pkg/reconcile/a.go", module+"/pkg/drivers"),
			importing("pkg/spec/a_test.go", module+"/pkg/spec"),
			importing("cmd/reconciler/a.go", module+"/pkg/drivers/process"),
			importing("pkg/remote/a.go", module+"/pkg/remote/link"),
			importing("pkg/remote/link/a_test.go", module+"/test/simhost"),
		},
	}, {
		name:  "dependencies",
		why:   "each dependency earns its line, and stays where it is needed",
		check: checkDependencies,
		bad: []map[string]string{
			importing("cmd/reconciler/a.go", "github.com/sirupsen/logrus"),
			importing("pkg/reconcile/a.go", "github.com/spf13/cobra"),
			importing("pkg/spec/a.go", "github.com/google/go-cmp/cmp"),
		},
		good: []map[string]string{
			importing("cmd/reconciler/a.go", "github.com/spf13/cobra"),
			importing("pkg/spec/a_test.go", "github.com/google/go-cmp/cmp"),
			importing("internal/pidfd/a.go", "golang.org/x/sys/unix"),
			importing("pkg/spec/a.go", "encoding/json"),
		},
	}}
}

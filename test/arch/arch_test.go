package arch

import (
	"fmt"
	"go/ast"
	"slices"
	"testing"
)

// rule is one thing that holds for every package.
type rule struct {
	name string
	why  string
	// check reports each breach with the place and a subject that allow can name.
	check func(f *folder, report func(n ast.Node, subject, message string))
	// allow excuses subjects, written FOLDER SUBJECT, each with its reason.
	allow map[string]string
	// bad must each break the rule; good must all keep it.
	bad, good []map[string]string
}

// breach is one broken rule.
type breach struct{ key, where, message string }

func (r rule) breaches(folders []*folder) []breach {
	var found []breach
	for _, f := range folders {
		r.check(f, func(n ast.Node, subject, message string) {
			found = append(found, breach{f.path + " " + subject, f.where(n), message})
		})
	}
	return found
}

func rules() []rule {
	return slices.Concat(importRules(), processRules(), stateRules(), documentRules(), styleRules())
}

func TestTheModuleKeepsTheRules(t *testing.T) {
	module := readModule(t)
	if len(module) < 5 {
		t.Fatalf("read %d packages only", len(module))
	}
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			needed := map[string]bool{}
			for _, b := range r.breaches(module) {
				if r.allow[b.key] != "" {
					needed[b.key] = true
					continue
				}
				t.Errorf("%s: %s (%s)", b.where, b.message, r.why)
			}
			for key := range r.allow {
				if !needed[key] {
					t.Errorf("the exception %q isn't needed any more: remove it", key)
				}
			}
		})
	}
}

func TestEveryRuleCanFail(t *testing.T) {
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			if len(r.bad) == 0 || len(r.good) == 0 {
				t.Fatal("it has no example to refuse, or none to accept")
			}
			for i, sources := range r.bad {
				if found := r.breaches(mustParse(t, sources)); len(found) == 0 {
					t.Errorf("bad example %d passes: %v", i, sources)
				}
			}
			for i, sources := range r.good {
				for _, b := range r.breaches(mustParse(t, sources)) {
					t.Errorf("good example %d is refused: %s: %s", i, b.where, b.message)
				}
			}
		})
	}
}

func TestRulesAreNamedOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range rules() {
		if seen[r.name] || r.why == "" {
			t.Errorf("rule %q is there twice, or doesn't say why", r.name)
		}
		seen[r.name] = true
	}
}

func mustParse(t *testing.T, sources map[string]string) []*folder {
	t.Helper()
	folders, err := parse(sources)
	if err != nil {
		t.Fatal(err)
	}
	return folders
}

// one is a module of a single file.
func one(name, format string, args ...any) map[string]string {
	return map[string]string{name: fmt.Sprintf(format, args...)}
}

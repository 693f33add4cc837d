package reconcile

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"reconciler.dev/reconciler/pkg/spec"
)

// ErrGuard marks a prune that the guard stopped. Nothing was removed.
var ErrGuard = errors.New("stopped by the prune guard")

// defaultGuard is how many daemons one prune may remove where nobody says otherwise.
const defaultGuard = 10

// Prune returns the names that are to go: those of stamps that belong to set and aren't wanted, dependents before what they depend on.
//
// objection is set, and lists them all, where they may not go: never when nothing is wanted at all, and, unless guard is negative, not when
// they are more than guard (0: ten) or more than half of what the set has. It wraps ErrGuard.
func Prune(set string, stamps []spec.Stamp, wanted map[string]bool, guard int) (going []string, objection error) {
	uses, has := map[string][]string{}, 0
	for _, s := range stamps {
		if s.Owner.Set != set {
			continue
		}
		has++
		if !wanted[s.Name] {
			going = append(going, s.Name)
			for _, d := range s.Spec.DependsOn {
				uses[s.Name] = append(uses[s.Name], d.Name)
			}
		}
	}
	if guard == 0 {
		guard = defaultGuard
	}
	going = dependentsFirst(going, uses)
	object := func(why string) ([]string, error) {
		return going, fmt.Errorf("not pruning %d of the %d daemons of set %q: %s; they would have been %s: %w",
			len(going), has, set, why, strings.Join(slices.Sorted(slices.Values(going)), ", "), ErrGuard)
	}
	switch {
	case len(going) == 0:
		return nil, nil
	case len(wanted) == 0:
		return object("the manifests declare no daemon at all; delete daemons by name where that is meant")
	case guard < 0:
		return going, nil
	case len(going) > guard:
		return object(fmt.Sprintf("at most %d may go at once; --prune-guard says otherwise", guard))
	case 2*len(going) > has:
		return object("that is more than half of them; --prune-guard=-1 says that it is meant")
	}
	return going, nil
}

// dependentsFirst sorts names so that each stands before those that it uses. The order depends on nothing but the arguments' contents; in
// a cycle, which daemons that were applied one by one may have come to, it begins somewhere.
func dependentsFirst(names []string, uses map[string][]string) []string {
	wanted, seen := map[string]bool{}, map[string]bool{}
	for _, n := range names {
		wanted[n] = true
	}
	ordered := make([]string, 0, len(wanted))
	var visit func(name string)
	visit = func(name string) {
		if !wanted[name] || seen[name] {
			return
		}
		seen[name] = true
		for _, used := range slices.Sorted(slices.Values(uses[name])) {
			visit(used)
		}
		ordered = append(ordered, name) // after all that it uses
	}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		visit(name)
	}
	slices.Reverse(ordered)
	return ordered
}

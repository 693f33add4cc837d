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

// Prune returns the names that are to go: those of stamps that belong to set and aren't among wants, dependents before what they depend on.
// stamps are all of the host.
//
// objection is set, and lists them all, where they may not go: never when nothing is wanted at all or when a daemon that stays depends on one of
// them; not when they are more than guard; and where guard is 0, because nobody said how many, not when they are more than ten or more than half of what
// the set has. A negative guard allows any number. It wraps ErrGuard.
func Prune(set string, stamps []spec.Stamp, wants []*spec.Daemon, guard int) (going []string, objection error) {
	uses, has := map[string][]string{}, 0
	wanted := make(map[string]bool, len(wants))
	for _, w := range wants {
		wanted[w.Name] = true
		uses[w.Name] = names(w.Spec.DependsOn)
	}
	for _, s := range stamps {
		if s.Owner.Set == set {
			has++
		}
		if wanted[s.Name] {
			continue
		}
		uses[s.Name] = names(s.Spec.DependsOn)
		if s.Owner.Set == set {
			going = append(going, s.Name)
		}
	}
	if len(going) == 0 {
		return nil, nil
	}
	going = dependentsFirst(going, uses)
	if why := whyNotPrune(going, uses, has, len(wants), guard); why != "" {
		return going, fmt.Errorf("not pruning %d of the %d daemons of set %q: %s; they would have been %s: %w",
			len(going), has, set, why, strings.Join(slices.Sorted(slices.Values(going)), ", "), ErrGuard)
	}
	return going, nil
}

// whyNotPrune says why daemons that are no longer wanted have to stay; empty where they may go.
func whyNotPrune(going []string, uses map[string][]string, has, wants, guard int) string {
	most := guard
	if guard == 0 {
		most = defaultGuard
	}
	user, used := stillUsed(going, uses)
	switch {
	case wants == 0:
		return "the manifests declare no daemon at all; delete daemons by name where that is meant"
	case user != "":
		return fmt.Sprintf("%s stays and depends on %s; declare that, or end the dependency", user, used)
	case guard < 0:
		return ""
	case len(going) > most:
		return fmt.Sprintf("at most %d may go at once; --prune-guard=%d says that it is meant", most, len(going))
	case guard == 0 && 2*len(going) > has:
		return fmt.Sprintf("that is more than half of them; --prune-guard=%d says that it is meant", len(going))
	}
	return ""
}

// stillUsed finds a daemon that stays and uses one that goes.
func stillUsed(going []string, uses map[string][]string) (user, used string) {
	for _, name := range slices.Sorted(maps.Keys(uses)) {
		if slices.Contains(going, name) {
			continue
		}
		for _, u := range uses[name] {
			if slices.Contains(going, u) {
				return name, u
			}
		}
	}
	return "", ""
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

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

// Share is what a prune would remove on one host.
type Share struct {
	// Host is empty where there is only one.
	Host string
	// Going are the names that are to go, dependents before what they depend on.
	Going []string
	// Has is how many daemons the set has on the host, those that are to go included.
	Has int
}

// Prune returns the names that are to go: those of stamps that belong to set and aren't among wants, dependents before what they depend on.
// stamps are all of the host.
//
// objection is set, and lists them all, where they may not go: never when a daemon that stays depends on one of them; else as Guard says. It wraps ErrGuard.
func Prune(set string, stamps []spec.Stamp, wants []*spec.Daemon, guard int) (going []string, objection error) {
	s, objection := prune(set, stamps, wants, PruneOptions{Guard: guard})
	return s.Going, objection
}

func prune(set string, stamps []spec.Stamp, wants []*spec.Daemon, o PruneOptions) (s Share, objection error) {
	uses := map[string][]string{}
	wanted := make(map[string]bool, len(wants))
	for _, w := range wants {
		wanted[w.Name] = true
		uses[w.Name] = names(w.Spec.DependsOn)
	}
	for _, st := range stamps {
		if st.Owner.Set == set {
			s.Has++
		}
		if wanted[st.Name] {
			continue
		}
		uses[st.Name] = names(st.Spec.DependsOn)
		if st.Owner.Set == set {
			s.Going = append(s.Going, st.Name)
		}
	}
	s.Going = dependentsFirst(s.Going, uses)
	declared := len(wants) + o.Elsewhere
	if user, used := stillUsed(s.Going, uses); user != "" && declared > 0 {
		return s, objectTo(set, []Share{s}, fmt.Sprintf("%s stays and depends on %s; declare that, or end the dependency", user, used))
	}
	return s, Guard(set, []Share{s}, declared, o.Guard)
}

// Guard says why daemons of a set may not go that are no longer wanted, on one host or on several, and lists them; nil where they may. declared is how many daemons
// the manifests have, for all hosts.
//
// They stay when nothing is wanted at all; when they are more than guard; and where guard is 0, because nobody said how many, when they are more than ten or more
// than half of what the set has. A negative guard allows any number. The error wraps ErrGuard.
func Guard(set string, shares []Share, declared, guard int) error {
	most := guard
	if guard == 0 {
		most = defaultGuard
	}
	going, has := 0, 0
	for _, s := range shares {
		going, has = going+len(s.Going), has+s.Has
	}
	why := ""
	switch {
	case going == 0:
	case declared == 0:
		why = "the manifests declare no daemon at all; delete daemons by name where that is meant"
	case guard < 0:
	case going > most:
		why = fmt.Sprintf("at most %d may go at once; --prune-guard=%d says that it is meant", most, going)
	case guard == 0 && 2*going > has:
		why = fmt.Sprintf("that is more than half of them; --prune-guard=%d says that it is meant", going)
	}
	if why == "" {
		return nil
	}
	return objectTo(set, shares, why)
}

// objectTo is the error of a guard that stops a prune because of why.
func objectTo(set string, shares []Share, why string) error {
	has := 0
	var going []string
	for _, s := range shares {
		has += s.Has
		for _, name := range slices.Sorted(slices.Values(s.Going)) {
			if s.Host != "" {
				name += " on " + s.Host
			}
			going = append(going, name)
		}
	}
	return fmt.Errorf("not pruning %d of the %d daemons of set %q: %s; they would have been %s: %w", len(going), has, set, why, strings.Join(going, ", "), ErrGuard)
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

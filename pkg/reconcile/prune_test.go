package reconcile

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/pkg/spec"
)

// stamps makes one stamp of each word "name" or "name>dependency,dependency", in that set.
func stamps(set, words string) []spec.Stamp {
	var all []spec.Stamp
	for word := range strings.FieldsSeq(words) {
		name, deps, _ := strings.Cut(word, ">")
		s := spec.Stamp{Metadata: spec.Metadata{Name: name}, Owner: spec.Owner{Set: set}}
		for _, d := range strings.FieldsFunc(deps, func(r rune) bool { return r == ',' }) {
			s.Spec.DependsOn = append(s.Spec.DependsOn, spec.Dependency{Name: d})
		}
		all = append(all, s)
	}
	return all
}

func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "d%02d ", i)
	}
	return b.String()
}

func TestPrune(t *testing.T) {
	for _, tt := range []struct {
		name   string
		has    string // what the set has; set "other" has x, which depends on q, and y besides
		wanted string
		guard  int
		want   string
		refuse string // part of the objection
	}{
		{name: "nothing to prune", has: "a b", wanted: "a b", want: ""},
		{name: "nothing there at all", has: "", wanted: "a", want: ""},
		{name: "nothing there and nothing wanted", has: "", wanted: "", want: ""},
		{name: "one of two", has: "a b", wanted: "a", want: "b"},
		{name: "what is new doesn't matter", has: "a b c", wanted: "a b new", want: "c"},
		{name: "dependents go first", has: "a b>a c>b d e f", wanted: "d e f", want: "c b a"},
		{name: "a dependency that stays is no matter", has: "a b>a", wanted: "a", want: "b"},
		{name: "never another set's", has: "a b", wanted: "a b x", want: ""},
		{name: "never on empty input", has: "a b", wanted: "", want: "b a", refuse: "declare no daemon at all"},
		{name: "not even without a guard", has: "a b", wanted: "", guard: -1, want: "b a", refuse: "declare no daemon at all"},
		{name: "never what one that stays depends on", has: "a b c>b", wanted: "a c>b", want: "b", refuse: "c stays and depends on b"},
		{name: "not even without a guard", has: "a b c>b", wanted: "a c>b", guard: -1, want: "b", refuse: "c stays and depends on b"},
		{name: "never what a new one depends on", has: "a b", wanted: "a c>b", want: "b", refuse: "c stays and depends on b"},
		{name: "never what another set's depends on", has: "a b q", wanted: "a b", want: "q", refuse: "x stays and depends on q"},
		{name: "but what it no longer depends on", has: "a b c>b", wanted: "a c", want: "b"},
		{name: "half is allowed", has: "a b c d", wanted: "a b", want: "d c"},
		{name: "more than half isn't", has: "a b c", wanted: "a", want: "c b", refuse: "more than half"},
		{name: "more than half", has: "a b c", wanted: "a", want: "c b", refuse: "--prune-guard=2 says that it is meant"},
		{name: "more than half, as somebody said", has: "a b c", wanted: "a", guard: 2, want: "c b"},
		{name: "but for somebody who means it", has: "a b c", wanted: "a", guard: -1, want: "c b"},
		{name: "a renamed only daemon is more than half", has: "a", wanted: "b", want: "a", refuse: "more than half"},
		{name: "ten are allowed", has: numbered(30), wanted: numbered(20), want: "d29 d28 d27 d26 d25 d24 d23 d22 d21 d20"},
		{name: "eleven aren't", has: numbered(31), wanted: numbered(20), want: "d30 d29 d28 d27 d26 d25 d24 d23 d22 d21 d20", refuse: "at most 10"},
		{name: "a smaller number", has: "a b c d", wanted: "a b", guard: 1, want: "d c", refuse: "at most 1 "},
		{name: "a larger number", has: numbered(31), wanted: numbered(20), guard: 11, want: "d30 d29 d28 d27 d26 d25 d24 d23 d22 d21 d20"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var wants []*spec.Daemon
			for _, s := range stamps("", tt.wanted) {
				wants = append(wants, &spec.Daemon{Metadata: s.Metadata, Spec: s.Spec})
			}
			going, err := Prune("default", append(stamps("other", "x>q y"), stamps("default", tt.has)...), wants, tt.guard)
			if diff := cmp.Diff(tt.want, strings.Join(going, " ")); diff != "" {
				t.Errorf("going (-want +got):\n%s", diff)
			}
			if tt.refuse == "" {
				if err != nil {
					t.Errorf("objection: %v", err)
				}
				return
			}
			if !errors.Is(err, ErrGuard) || !strings.Contains(err.Error(), tt.refuse) {
				t.Fatalf("objection %v, want one that says %q", err, tt.refuse)
			}
			for _, n := range going {
				if !strings.Contains(err.Error(), n) {
					t.Errorf("%s isn't named in: %v", n, err)
				}
			}
		})
	}
}

// TestDependentsFirst checks, on random graphs, that the order is a permutation in which nothing stands after what it uses, and that the
// order of the input doesn't matter.
func TestDependentsFirst(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		n := r.IntN(12)
		var names []string
		uses := map[string][]string{}
		for i := range n {
			name := fmt.Sprint("d", i)
			names = append(names, name)
			for j := range i {
				if r.IntN(4) == 0 {
					uses[name] = append(uses[name], fmt.Sprint("d", j))
				}
			}
			uses[name] = append(uses[name], "elsewhere")
		}
		got := dependentsFirst(names, uses)
		for name, used := range uses {
			for _, u := range used {
				if at := slices.Index(got, u); at >= 0 && at < slices.Index(got, name) {
					t.Fatalf("seed %d: %s uses %s, but goes after it: %v", seed, name, u, got)
				}
			}
		}
		r.Shuffle(n, func(i, j int) { names[i], names[j] = names[j], names[i] })
		if diff := cmp.Diff(got, dependentsFirst(names, uses)); diff != "" {
			t.Fatalf("seed %d: another order for shuffled input:\n%s", seed, diff)
		}
		slices.Sort(names)
		if sorted := slices.Sorted(slices.Values(got)); !slices.Equal(sorted, names) {
			t.Fatalf("seed %d: of %v came %v", seed, names, got)
		}
	}
}

func TestDependentsFirstInACycle(t *testing.T) {
	got := dependentsFirst([]string{"a", "b", "c", "d"}, map[string][]string{"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})
	if len(got) != 4 || got[0] != "d" {
		t.Errorf("got %v, want all four, d before the cycle that it uses", got)
	}
}

// TestGuardOverHosts counts what would go on all hosts together.
func TestGuardOverHosts(t *testing.T) {
	share := func(host string, going, has int) Share {
		return Share{Host: host, Going: strings.Fields(numbered(going)), Has: has}
	}
	for _, tt := range []struct {
		name     string
		shares   []Share
		declared int
		guard    int
		refuse   string
	}{
		{name: "nothing goes", shares: []Share{share("a", 0, 3), share("b", 0, 3)}, declared: 0},
		{name: "all of one host, where others keep theirs", shares: []Share{share("a", 3, 3), share("b", 0, 3)}, declared: 3},
		{name: "more than half of all", shares: []Share{share("a", 3, 3), share("b", 1, 3)}, declared: 2, refuse: "not pruning 4 of the 6 daemons of set \"default\": that is more than half of them"},
		{name: "more than ten of all", shares: []Share{share("a", 6, 20), share("b", 5, 20)}, declared: 29, refuse: "at most 10 may go at once; --prune-guard=11 says that it is meant"},
		{name: "each is named with its host", shares: []Share{share("a", 1, 1), share("b", 1, 1)}, declared: 1, refuse: "they would have been d00 on a, d00 on b"},
		{name: "nothing is wanted anywhere", shares: []Share{share("a", 1, 1), share("b", 0, 5)}, guard: -1, refuse: "declare no daemon at all"},
		{name: "any number", shares: []Share{share("a", 30, 30), share("b", 30, 30)}, declared: 1, guard: -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := Guard("default", tt.shares, tt.declared, tt.guard)
			if (err != nil) != (tt.refuse != "") || err != nil && (!errors.Is(err, ErrGuard) || !strings.Contains(err.Error(), tt.refuse)) {
				t.Errorf("objection %v, want one that says %q", err, tt.refuse)
			}
		})
	}
}

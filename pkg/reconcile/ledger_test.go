package reconcile

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// ledgerBench asks a ledger for hosts, and remembers who was told to ask again.
type ledgerBench struct {
	*Ledger
	told []string
}

func newLedgerBench(guard int) *ledgerBench {
	b := &ledgerBench{}
	b.Ledger = NewLedger("default", guard, func(host string) { b.told = append(b.told, host) })
	return b
}

// ask asks for a host that has so many daemons, of which these are to go, and returns yes, no or later.
func (b *ledgerBench) ask(host, going string, has int) string {
	return word(b.Ask(host, b.Turn(), Share{Going: strings.Fields(going), Has: has}))
}

func word(ok bool, objection error) string {
	switch {
	case objection != nil && !errors.Is(objection, ErrGuard):
		return objection.Error()
	case objection != nil:
		return "no"
	case ok:
		return "yes"
	}
	return "later"
}

func (b *ledgerBench) again() string {
	slices.Sort(b.told)
	told := strings.Join(b.told, " ")
	b.told = nil
	return told
}

func expect(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestLedgerWaitsForAllHosts(t *testing.T) {
	b := newLedgerBench(0)
	b.Begin(10, []string{"a", "b", "c"})
	expect(t, "all are to ask", b.again(), "a b c")
	expect(t, "a, of which alone all would go", b.ask("a", "x y", 2), "later")
	expect(t, "b, which has nothing to prune", b.ask("b", "", 5), "yes")
	expect(t, "nobody is told before c has asked", b.again(), "")
	expect(t, "c", b.ask("c", "z", 3), "yes")
	expect(t, "who waited is told", b.again(), "a")
	expect(t, "a, now that all is known", b.ask("a", "x y", 2), "yes")
}

func TestLedgerCountsAllHostsTogether(t *testing.T) {
	b := newLedgerBench(0)
	b.Begin(40, []string{"", "b"})
	b.ask("", strings.TrimSpace(numbered(6)), 20)
	ok, objection := b.Ask("b", b.Turn(), Share{Going: strings.Fields(numbered(5)), Has: 20})
	if ok || objection == nil || !strings.Contains(objection.Error(), "not pruning 11 of the 40") || !strings.Contains(objection.Error(), "d00 on localhost") {
		t.Errorf("five on b beside six here: %v, %v", ok, objection)
	}
	expect(t, "what was pruned still counts", b.ask("", "", 14), "yes")
	expect(t, "five on b after six here", b.ask("b", numbered(5), 20), "no")
	b.Begin(40, []string{"", "b"})
	b.ask("", "", 14)
	expect(t, "once the manifests changed it doesn't", b.ask("b", numbered(5), 20), "yes")
}

func TestLedgerNeverCountsWhatIsOutOfReach(t *testing.T) {
	b := newLedgerBench(0)
	b.Begin(10, []string{"a", "b"})
	expect(t, "a", b.ask("a", "x", 4), "later")
	b.again()
	b.Away("b")
	expect(t, "nobody waits for b", b.again(), "a")
	expect(t, "a, without b", b.ask("a", "x", 4), "yes")
	expect(t, "b is back, and has more than half of all", b.ask("b", "p q r", 3), "no")
	b.Begin(10, []string{"a", "b"})
	b.Away("b")
	b.Begin(10, []string{"a", "b"})
	expect(t, "a, while b is still away", b.ask("a", "x", 4), "yes")
}

func TestLedgerForgetsWhoseManifestsAreOld(t *testing.T) {
	b := newLedgerBench(0)
	b.Begin(10, []string{"a"})
	old := b.Turn()
	b.Begin(10, []string{"a"})
	expect(t, "what goes by old manifests", word(b.Ask("a", old, Share{Going: []string{"x"}, Has: 4})), "later")
	expect(t, "a host that isn't asked any more", word(b.Ask("gone", b.Turn(), Share{Going: []string{"x"}, Has: 4})), "later")
	b.Begin(0, []string{"a"})
	expect(t, "nothing is declared anywhere", b.ask("a", "x", 4), "no")
}

func TestLedgerOfOneHostNamesNoHost(t *testing.T) {
	b := newLedgerBench(0)
	b.Begin(1, []string{""})
	_, objection := b.Ask("", b.Turn(), Share{Going: []string{"x"}, Has: 1})
	if objection == nil || strings.Contains(objection.Error(), "localhost") {
		t.Errorf("objection %v", objection)
	}
}

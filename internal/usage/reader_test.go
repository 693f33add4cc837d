package usage

import (
	"testing"

	"reconciler.dev/reconciler/pkg/spec"
)

// TestTwoInstancesAreRemembered side by side, and a third takes the place of the older.
func TestTwoInstancesAreRemembered(t *testing.T) {
	var ms memories
	of := func(instance string) *memory { return ms.of(&spec.Sample{Name: "web", Instance: instance}) }
	a, b := of("a"), of("b")
	if of("a") != a || of("b") != b || a == b {
		t.Error("of two that are asked for by turns something is forgotten")
	}
	c := of("c")
	if of("b") != b || of("c") != c || len(ms["web"]) != 2 {
		t.Errorf("with a third there are %d", len(ms["web"]))
	}
	if ms.forget(func(name string) bool { return name == "web" }); len(ms) != 0 {
		t.Errorf("of a daemon that is gone %d are left", len(ms["web"]))
	}
}

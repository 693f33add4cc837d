package main

import (
	"strings"
	"testing"

	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/spec"
)

// TestPlanHolds says which moves since the review refuse a plan.
func TestPlanHolds(t *testing.T) {
	review := func(change func(*reconcile.Item), host string) []done {
		it := reconcile.Item{
			Name: "web", Action: reconcile.Configured, Reason: "the manifest changed", Want: &spec.Daemon{Digest: "sha256:new"},
			Observed: spec.Observed{State: spec.Running, Stamp: &spec.Stamp{Digest: "sha256:old"}, Instance: &spec.Instance{ID: "i1", PID: 7}},
			Steps:    []spec.Step{{Verb: spec.VerbStop}, {Verb: spec.VerbStart}},
		}
		if change != nil {
			change(&it)
		}
		return []done{{host: host, items: []reconcile.Item{it}}}
	}
	set := "default"
	plan, err := makePlan(&planning{set: &set}, review(nil, ""))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		host   string
		change func(*reconcile.Item)
		want   string // in the error; empty for none
	}{
		{"nothing moved", "", nil, ""},
		{"another reason for the same", "", func(it *reconcile.Item) { it.Reason = "x" }, ""},
		{"another host", "web1", nil, "web1: daemon/web: not in the plan"},
		{"the manifest changed", "", func(it *reconcile.Item) { it.Want = &spec.Daemon{Digest: "sha256:newer"} }, "its manifest"},
		{"somebody applied", "", func(it *reconcile.Item) { it.Observed.Stamp = &spec.Stamp{Digest: "sha256:x"} }, "something else was applied"},
		{"it died", "", func(it *reconcile.Item) { it.Observed.State = spec.Exited }, "it was Running and is Exited"},
		{"it was restarted", "", func(it *reconcile.Item) { it.Observed.Instance = &spec.Instance{ID: "i2"} }, "it was restarted"},
		{"it would be pruned", "", func(it *reconcile.Item) { it.Action = reconcile.Pruned }, "planned configured, and would now be pruned"},
		{"other steps", "", func(it *reconcile.Item) { it.Steps = it.Steps[1:] }, "would now be configured"},
		{"another daemon", "", func(it *reconcile.Item) { it.Name = "db" }, "daemon/db: not in the plan"},
		{"it is gone from the manifests", "", func(it *reconcile.Item) { it.Name = "db" }, "daemon/web: planned configured, and is now neither"},
	} {
		err := plan.holds(review(c.change, c.host))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		case c.want != "" && exitCode(err) != exitRefused:
			t.Errorf("%s: exit %d", c.name, exitCode(err))
		}
	}
}

func TestParseGoal(t *testing.T) {
	for in, want := range map[string]string{
		"condition=Ready":         "Ready",
		"condition=Ready=true":    "Ready",
		"condition=Stalled=False": "Stalled=False",
		"delete":                  "deleted",
		"create":                  "created",
	} {
		g, err := parseGoal(in)
		if err != nil || g.String() != want {
			t.Errorf("parseGoal(%q) = %v, %v, want %s", in, g, err, want)
		}
	}
	for _, in := range []string{"", "Ready", "condition", "condition=", "delete=now", "jsonpath={.status}"} {
		if g, err := parseGoal(in); err == nil {
			t.Errorf("parseGoal(%q) = %v, want an error", in, g)
		}
	}
}

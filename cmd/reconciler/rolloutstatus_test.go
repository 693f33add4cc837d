package main

import (
	"testing"

	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/spec"
)

// TestWhatWaitsOfAPausedRollout is known by the manifest, or by the word of a run that lives.
func TestWhatWaitsOfAPausedRollout(t *testing.T) {
	applied := spec.Daemon{Spec: spec.Spec{Binary: "/bin/web", Args: []string{"1"}}, Digest: "sha256:1"}
	other := applied
	other.Spec.Args, other.Digest = []string{"2"}, "sha256:2"
	waits := []spec.Condition{{Type: spec.Ready, Status: spec.True}, {Type: spec.Reconciling, Status: spec.True, Reason: reconcile.RolloutHeld}}
	for _, tt := range []struct {
		name   string
		want   *spec.Daemon
		holder string
		said   []spec.Condition
		waits  string
	}{
		{"its manifest is what is applied", &applied, "", nil, ""},
		{"its manifest is another one", &other, "", nil, "a change of spec.args[0]"},
		{"a run has yet to see that its manifest is what is applied again", &applied, "run", waits, ""},
		{"a run says so", nil, "run", waits, "a change"},
		{"a run said so that is gone", nil, "", waits, ""},
		{"a run works on something else", nil, "run", []spec.Condition{{Type: spec.Reconciling, Status: spec.True, Reason: "Retrying"}}, ""},
		{"nobody says anything", nil, "", nil, ""},
	} {
		v := reconcile.View{Observed: spec.Observed{Stamp: &spec.Stamp{Spec: applied.Spec, Digest: applied.Digest}}, Holder: tt.holder, Conditions: tt.said}
		if got := waiting(v, tt.want); got != tt.waits {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.waits)
		}
	}
}

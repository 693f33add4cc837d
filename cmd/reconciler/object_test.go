package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/spec"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func TestPhase(t *testing.T) {
	ended := func(e *spec.Exit) spec.Observed {
		return spec.Observed{State: spec.Exited, Instance: &spec.Instance{Exit: e}}
	}
	paused := ended(&spec.Exit{Known: true, Code: 1})
	paused.Paused = &spec.Pause{At: noon}
	restarting := ended(&spec.Exit{Known: true, Signal: "SIGKILL"})
	restarting.Restarting = true
	for _, c := range []struct {
		name  string
		o     spec.Observed
		phase string
		exit  *lastExit
	}{
		{"nothing there", spec.Observed{State: spec.Absent}, "Absent", nil},
		{"can't be looked at", spec.Observed{State: spec.Unknown}, "Unknown", nil},
		{"up", spec.Observed{State: spec.Running, Instance: &spec.Instance{}}, "Running", nil},
		{"up again", spec.Observed{State: spec.Running, Instance: &spec.Instance{Last: &spec.Exit{Known: true, Signal: "SIGKILL", At: noon}}},
			"Running", &lastExit{Signal: "SIGKILL", Reason: exitFailed, At: noon}},
		{"under way", spec.Observed{State: spec.Starting}, "Starting", nil},
		{"going", spec.Observed{State: spec.Stopping}, "Stopping", nil},
		{"never started", spec.Observed{State: spec.Exited}, phaseStopped, nil},
		{"its work is done", ended(&spec.Exit{Known: true}), phaseStopped, &lastExit{Code: new(int), Reason: exitCompleted}},
		{"we stopped it", ended(&spec.Exit{Known: true, Signal: "SIGTERM", Asked: true}), phaseStopped, &lastExit{Signal: "SIGTERM", Reason: exitStopped}},
		{"it failed", ended(&spec.Exit{Known: true, Code: 3}), phaseFailed, &lastExit{Code: new(3), Reason: exitFailed}},
		{"it was killed", ended(&spec.Exit{Known: true, Signal: "SIGSEGV"}), phaseFailed, &lastExit{Signal: "SIGSEGV", Reason: exitFailed}},
		{"out of memory", ended(&spec.Exit{Known: true, Signal: "SIGKILL", OOMKilled: true}), phaseFailed, &lastExit{Signal: "SIGKILL", Reason: exitOOM}},
		{"nobody knows", ended(&spec.Exit{}), phaseFailed, &lastExit{Reason: exitUnknown}},
		{"systemd starts it again", restarting, phaseRestarting, &lastExit{Signal: "SIGKILL", Reason: exitFailed}},
		{"failed, and then a user stopped it", paused, phaseStopped, &lastExit{Code: new(1), Reason: exitFailed}},
	} {
		if got := phase(c.o); got != c.phase {
			t.Errorf("%s: phase %s, want %s", c.name, got, c.phase)
		}
		if d := cmp.Diff(c.exit, exitOf(c.o)); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
	}
}

// fullView says everything that a view can say.
func fullView() reconcile.View {
	value := "hello"
	return reconcile.View{
		Holder:     "run-1",
		Conditions: []spec.Condition{{Type: spec.Ready, Status: spec.True, Reason: "Healthy", LastTransitionTime: noon, ObservedGeneration: 2}},
		Observed: spec.Observed{
			Name: "web", State: spec.Running, Driver: spec.DriverProcess,
			Stamp: &spec.Stamp{
				Metadata: spec.Metadata{Name: "web", Labels: map[string]string{"app": "shop"}, Annotations: map[string]string{"note": "x"}},
				Spec: spec.Spec{
					Binary: "/bin/web", Args: []string{"-v"}, Health: &spec.Health{TCP: "127.0.0.1:80"},
					Env: map[string]spec.EnvVar{
						"A": {Value: &value}, "TOKEN": {FromFile: "/etc/token", Digest: "sha256:secret"}, "KEY": {FromEnv: "KEY", Digest: "sha256:secret"},
					},
					Rlimits: map[string]spec.Rlimit{"nofile": {Soft: 1024, Hard: 4096}},
					Cgroup:  &spec.Cgroup{CPULimit: 2000, MemoryLimit: 1 << 30, MemoryHigh: 1 << 29, PidsLimit: 10, CPUWeight: 50, IOWeight: 60},
				},
				Digest: "sha256:d", Owner: spec.Owner{Set: "shop"}, Tool: "v1", Generation: 2, AppliedAt: noon,
			},
			Instance: &spec.Instance{
				ID: "i", PID: 42, StartedAt: noon, Up: time.Hour, Generation: 1, Restarts: 3,
				Last: &spec.Exit{Known: true, Code: 1, At: noon.Add(-time.Minute)},
			},
			Outgoing: &spec.Instance{ID: "h", PID: 41, StartedAt: noon.Add(-time.Hour), Up: 2 * time.Hour, Generation: 1},
			Slot:     1,
			Paused:   &spec.Pause{At: noon, By: "ann"},
			Drift:    []spec.Drift{{Field: "spec.files[0]", Want: "a", Have: "b", Class: spec.Reloaded}},
			Lost:     []spec.Loss{{Field: "spec.cgroup.memoryLimit", Reason: "no controller"}},
		},
	}
}

// TestObjectIsAPromise holds every field that programs may read.
func TestObjectIsAPromise(t *testing.T) {
	b, err := marshal("json", listOf([]object{makeObject("localhost", fullView())}))
	if err != nil {
		t.Fatal(err)
	}
	checkGolden(t, mustGetwd(t), "object", string(b))
}

func TestObjectHasNoSecrets(t *testing.T) {
	v := fullView()
	b, err := json.Marshal(makeObject("localhost", v))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(b); strings.Contains(got, "sha256:secret") {
		t.Errorf("the object tells of secrets: %s", got)
	}
	if v.Observed.Stamp.Spec.Env["TOKEN"].Digest == "" {
		t.Error("the view was changed")
	}
}

func TestNews(t *testing.T) {
	view := func(name string, s spec.State) reconcile.View {
		return reconcile.View{Observed: spec.Observed{Name: name, State: s, Stamp: &spec.Stamp{}}}
	}
	w := watcher{last: map[string]string{}, wanted: func(o spec.Observed) bool { return o.Name != "other" }}
	for i, c := range []struct {
		views []reconcile.View
		want  []string
	}{
		{[]reconcile.View{view("a", spec.Running), view("b", spec.Running), view("other", spec.Running)}, []string{"a Running", "b Running"}},
		{[]reconcile.View{view("a", spec.Running), view("b", spec.Exited)}, []string{"b Stopped"}},
		{[]reconcile.View{view("a", spec.Running), view("b", spec.Exited)}, nil},
		{[]reconcile.View{view("a", spec.Running)}, []string{"b Absent"}},
		{[]reconcile.View{view("a", spec.Absent)}, []string{"a Absent"}},
		{[]reconcile.View{view("a", spec.Absent)}, nil},
		{[]reconcile.View{view("a", spec.Running)}, []string{"a Running"}},
	} {
		var got []string
		for _, v := range w.news(c.views) {
			got = append(got, v.Observed.Name+" "+phase(v.Observed))
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("look %d: %s", i+1, d)
		}
	}
}

// How a daemon ended, for people: out of memory is told by its name, whether the signal is known or not.
func TestExitText(t *testing.T) {
	one := 1
	for want, e := range map[string]lastExit{
		"exit status 1":                        {Code: &one, Reason: exitFailed},
		"killed by SIGTERM":                    {Signal: "SIGTERM", Reason: exitFailed},
		"how is not known":                     {Reason: exitUnknown},
		"exit status 1, stopped by reconciler": {Code: &one, Reason: exitStopped},
	} {
		if got := e.String(); got != want {
			t.Errorf("%+v: %q, want %q", e, got, want)
		}
	}
	for _, signal := range []string{"SIGKILL", ""} {
		e := lastExit{Signal: signal, Reason: exitOOM}
		if got := e.String(); got != "OOMKilled, by the kernel for its memory limit" {
			t.Errorf("%+v: %q", e, got)
		}
	}
}

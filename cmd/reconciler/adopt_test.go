package main

import (
	"strings"
	"testing"
	"time"

	"reconciler.dev/reconciler/pkg/spec"
)

func TestCandidateOf(t *testing.T) {
	for from, want := range map[string]spec.Candidate{
		"unit=nginx.service":   {Unit: "nginx.service"},
		"pid=42":               {PID: 42},
		"pidfile=/run/a=b.pid": {PIDFile: "/run/a=b.pid"},
	} {
		if got, err := candidateOf(from); err != nil || got != want {
			t.Errorf("%s: %+v, %v", from, got, err)
		}
	}
	for _, from := range []string{"", "unit", "unit=", "pid=", "pid=x", "pid=-1", "pid=0", "pid=1 2", "pids=1", "=1", "pidfile=x.pid"} {
		if got, err := candidateOf(from); err == nil {
			t.Errorf("%q is taken for %+v", from, got)
		}
	}
}

// What runs was written by others: it is text on the terminal, whatever it is.
func TestShowTakeoverIsCleaned(t *testing.T) {
	const evil = "\x1b[31m\x1b]0;x\a\u202e\n<script>"
	var b strings.Builder
	c := &cli{out: &b}
	d := []spec.Drift{{Field: "spec.args" + evil, Want: evil, Have: evil}}
	err := c.showTakeover(&site{at: "gpu-1"}, &spec.Daemon{Metadata: spec.Metadata{Name: "web"}}, &spec.Takeover{
		Candidate: spec.Candidate{PID: 7, Unit: evil}, Driver: spec.DriverSystemd, PIDs: []int{7, 8}, Command: []string{evil, strings.Repeat("x", 5000)}, User: evil, Dir: evil, Cgroup: evil, Output: evil,
		Since: time.Unix(0, 0), Env: []string{evil}, Now: d, Pending: d, Lost: []spec.Loss{{Field: "spec.sandbox.privateTmp", Reason: evil}}, Notes: []string{evil},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := b.String(); strings.ContainsAny(got, "\x1b\a\u202e") || len(got) > 4000 || strings.Count(got, "<script>") < 8 {
		t.Errorf("%q", got)
	}
}

package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReport(t *testing.T) {
	for _, tt := range []struct {
		name   string
		events []event
		want   report
		shown  string // what a person sees while it runs
		err    string
		strict string
	}{{
		name: "all passed",
		events: []event{
			{Action: "output", Package: "p", Test: "TestA", Output: "=== RUN   TestA\n"},
			{Action: "output", Package: "p", Test: "TestA", Output: "--- PASS: TestA (0.00s)\n"},
			{Action: "pass", Package: "p", Test: "TestA"},
			{Action: "output", Package: "p", Output: "PASS\n"},
			{Action: "output", Package: "p", Output: "ok  \tp\t0.1s\n"},
			{Action: "pass", Package: "p"},
		},
		want:  report{passed: 1, closing: []string{"ok  \tp\t0.1s"}},
		shown: "ok  \tp\t0.1s\n",
	}, {
		name: "a failed test shows its output and nobody else's",
		events: []event{
			{Action: "output", Package: "p", Test: "TestA", Output: "noise\n"},
			{Action: "pass", Package: "p", Test: "TestA"},
			{Action: "output", Package: "p", Test: "TestB", Output: "    b_test.go:7: want 1, got 2\n"},
			{Action: "fail", Package: "p", Test: "TestB"},
			{Action: "output", Package: "p", Output: "FAIL\tp\t0.1s\n"},
			{Action: "fail", Package: "p"},
		},
		want:   report{passed: 1, failed: []string{"p.TestB", "p"}, closing: []string{"FAIL\tp\t0.1s"}},
		shown:  "    b_test.go:7: want 1, got 2\nFAIL\tp\t0.1s\n",
		err:    "2 failed, the first is p.TestB",
		strict: "2 failed, the first is p.TestB",
	}, {
		name: "a skipped test is named with its reason, and fails where skipping does",
		events: []event{
			{Action: "output", Package: "p", Test: "TestA", Output: "    a_test.go:3: needs nginx\n"},
			{Action: "output", Package: "p", Test: "TestA", Output: "--- SKIP: TestA (0.00s)\n"},
			{Action: "skip", Package: "p", Test: "TestA"},
			{Action: "pass", Package: "p", Test: "TestB"},
		},
		want:   report{passed: 1, skipped: []skip{{"p.TestA", "a_test.go:3: needs nginx"}}},
		strict: "1 skipped, which CI takes for a failure; the first is p.TestA: a_test.go:3: needs nginx",
	}, {
		name: "a package without tests isn't a skipped test",
		events: []event{
			{Action: "output", Package: "q", Output: "?   \tq\t[no test files]\n"},
			{Action: "skip", Package: "q"},
			{Action: "pass", Package: "p", Test: "TestB"},
		},
		want:  report{passed: 1, closing: []string{"?   \tq\t[no test files]"}},
		shown: "?   \tq\t[no test files]\n",
	}, {
		name: "a package that dies shows its last words",
		events: []event{
			{Action: "output", Package: "p", Output: "panic: no\n"},
			{Action: "output", Package: "p", Output: "FAIL\tp\t0.1s\n"},
			{Action: "fail", Package: "p"},
		},
		want:   report{failed: []string{"p"}, closing: []string{"FAIL\tp\t0.1s"}},
		shown:  "FAIL\tp\t0.1s\npanic: no\n",
		err:    "1 failed, the first is p",
		strict: "1 failed, the first is p",
	}, {
		name: "a package that times out shows what its tests had written that hadn't ended",
		events: []event{
			{Action: "output", Package: "p", Test: "TestA", Output: "noise\n"},
			{Action: "pass", Package: "p", Test: "TestA"},
			{Action: "output", Package: "p", Test: "TestB", Output: "panic: test timed out after 15m0s\n"},
			{Action: "output", Package: "pq", Test: "TestC", Output: "of another package\n"},
			{Action: "output", Package: "p", Output: "FAIL\tp\t900s\n"},
			{Action: "fail", Package: "p"},
		},
		want:   report{passed: 1, failed: []string{"p"}, closing: []string{"FAIL\tp\t900s"}},
		shown:  "FAIL\tp\t900s\npanic: test timed out after 15m0s\n",
		err:    "1 failed, the first is p",
		strict: "1 failed, the first is p",
	}, {
		name: "what doesn't build shows the compiler's words",
		events: []event{
			{Action: "build-output", ImportPath: "p [p.test]", Output: "p/a.go:1:1: no\n"},
			{Action: "build-fail", ImportPath: "p [p.test]"},
			{Action: "output", Package: "p", Output: "FAIL\tp [build failed]\n"},
			{Action: "fail", Package: "p", FailedBuild: "p [p.test]"},
		},
		want:   report{failed: []string{"p"}, closing: []string{"FAIL\tp [build failed]"}},
		shown:  "p/a.go:1:1: no\nFAIL\tp [build failed]\n",
		err:    "1 failed, the first is p",
		strict: "1 failed, the first is p",
	}, {
		name:   "nothing ran",
		err:    "no test ran",
		strict: "no test ran",
	}} {
		t.Run(tt.name, func(t *testing.T) {
			var in, shown strings.Builder
			enc := json.NewEncoder(&in)
			for _, e := range tt.events {
				if err := enc.Encode(e); err != nil {
					t.Fatal(err)
				}
			}
			var got report
			if err := got.read(strings.NewReader(in.String()), &shown); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got, cmp.AllowUnexported(report{}, skip{})); d != "" {
				t.Errorf("report (-want +got):\n%s", d)
			}
			if d := cmp.Diff(tt.shown, shown.String()); d != "" {
				t.Errorf("shown (-want +got):\n%s", d)
			}
			if d := cmp.Diff(tt.err, message(got.err(false))); d != "" {
				t.Errorf("err (-want +got):\n%s", d)
			}
			if d := cmp.Diff(tt.strict, message(got.err(true))); d != "" {
				t.Errorf("strict err (-want +got):\n%s", d)
			}
		})
	}
}

func TestReportPassesOnWhatIsNoEvent(t *testing.T) {
	var got report
	var shown strings.Builder
	if err := got.read(strings.NewReader("go: go.mod file not found\n"), &shown); err != nil {
		t.Fatal(err)
	}
	if shown.String() != "go: go.mod file not found\n" {
		t.Errorf("shown %q", shown.String())
	}
}

func TestPrintNamesEverythingToActOn(t *testing.T) {
	r := report{passed: 3, failed: []string{"p.TestB"}, skipped: []skip{{"p.TestA", "needs nginx"}}, closing: []string{"ok  \tq\t0.1s", "FAIL\tp\t0.2s"}}
	var got strings.Builder
	r.print(&got)
	want := `
ok  	q	0.1s
FAIL	p	0.2s
SKIPPED p.TestA: needs nginx
FAILED  p.TestB
3 passed, 1 failed, 1 skipped
`
	if d := cmp.Diff(want, got.String()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

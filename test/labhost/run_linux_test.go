package labhost

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestInsideEnvironment(t *testing.T) {
	got := insideEnvironment([]string{"PATH=/here", "RECONCILER_STATE_DIR=/s", "RECONCILER_TESTPROG=/here/prog", "CI=true", "HOME=/root", "LABHOST_STAGE=x", "RECONCILER="}, "A=b")
	if d := cmp.Diff([]string{"RECONCILER_STATE_DIR=/s", "CI=true", "GORACE=atexit_sleep_ms=0", "A=b"}, got); d != "" {
		t.Error(d)
	}
	got = insideEnvironment([]string{"GORACE=halt_on_error=1"})
	if d := cmp.Diff([]string{"GORACE=halt_on_error=1"}, got); d != "" {
		t.Error(d)
	}
}

// The pattern selects the one test, and no other with a name like it.
func TestPattern(t *testing.T) {
	for _, name := range []string{"TestA", "TestA/b", "TestA/b.c", "TestA/b+/(c)#01", `TestA/$HOME_\d`} {
		got := strings.Split(pattern(name), "/")
		parts := strings.Split(name, "/")
		if len(got) != len(parts) {
			t.Errorf("%q has the pattern %q", name, got)
			continue
		}
		for i, part := range parts {
			selects, err := regexp.Compile(got[i])
			if err != nil {
				t.Error(err)
				continue
			}
			for _, other := range []string{part + "x", "x" + part, strings.Replace(part, ".", "x", 1) + "x"} {
				if selects.MatchString(other) {
					t.Errorf("%q selects %q", got[i], other)
				}
			}
			if !selects.MatchString(part) {
				t.Errorf("%q doesn't select %q", got[i], part)
			}
		}
	}
}

func TestInsideFlags(t *testing.T) {
	t.Run("of a subtest", func(t *testing.T) {
		flags := strings.Join(insideFlags(t), " ")
		for _, want := range []string{"-test.v", "-test.run=^TestInsideFlags$/^of_a_subtest$", "-test.paniconexit0"} {
			if !strings.Contains(flags, want) {
				t.Errorf("%s lacks %s", flags, want)
			}
		}
		for _, never := range []string{"testlogfile", "coverprofile", "gocoverdir", "outputdir", "skip"} {
			if strings.Contains(flags, never) {
				t.Errorf("%s has -test.%s", flags, never)
			}
		}
	})
}

func TestVerdict(t *testing.T) {
	for _, tt := range []struct {
		name, said string
		err        error
		want       string
	}{
		{"passed", "=== RUN   TestA/b\n--- PASS: TestA (0.00s)\n    --- PASS: TestA/b (0.00s)\nPASS\n", nil, ""},
		{"passed, and the last line isn't ended", "    --- PASS: TestA/b (0.00s)", nil, ""},
		{"failed", "    --- FAIL: TestA/b (0.00s)\nFAIL\n", errors.New("exit status 1"), "the test binary ended with exit status 1"},
		{"passed, but the end was bad", "    --- PASS: TestA/b (0.00s)\nPASS\n", errors.New("exit status 66"), "the test binary ended with exit status 66"},
		{"nothing ran", "testing: warning: no tests to run\nPASS\n", nil, "the test didn't run: is labhost.Main called in TestMain, and is the test's name always the same?"},
		{"only another ran", "    --- PASS: TestA/bc (0.00s)\nPASS\n", nil, "the test didn't run: is labhost.Main called in TestMain, and is the test's name always the same?"},
		{"a part was skipped", "    --- PASS: TestA/b (0.00s)\n        --- SKIP: TestA/b/c (0.00s)\nPASS\n", nil,
			"skipped TestA/b/c (0.00s): a host is made to have what a test needs"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			v := &verdict{w: &out, test: "TestA/b"}
			for _, piece := range strings.SplitAfter(tt.said, "-") { // lines arrive in pieces
				if n, err := v.Write([]byte(piece)); n != len(piece) || err != nil {
					t.Fatalf("wrote %d: %v", n, err)
				}
			}
			err := v.judge(tt.err)
			if got := errorText(err); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			want := "| " + strings.ReplaceAll(strings.TrimSuffix(tt.said, "\n"), "\n", "\n| ") + "\n"
			if out.String() != want {
				t.Errorf("it is shown as\n%s, want\n%s", &out, want)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

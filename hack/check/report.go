package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// event is one line of `go test -json`; see `go doc test2json`.
type event struct {
	Action      string
	Package     string
	ImportPath  string
	Test        string
	Output      string
	FailedBuild string
}

// report is what a run of `go test -json` came to.
type report struct {
	passed  int
	failed  []string // PACKAGE.TEST, or PACKAGE where it didn't build or died
	skipped []skip
	closing []string // go test's own line for each package
}

// skip is a test that didn't run, and why it says so.
type skip struct{ test, reason string }

// read follows a run to its end. It copies to w what a person needs while it runs: the closing line of each package, and the whole output of what failed.
func (r *report) read(events io.Reader, w io.Writer) error {
	output := map[string][]string{}
	lines := bufio.NewScanner(events)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Fprintln(w, lines.Text()) // the go command's own words, as for a broken go.mod
			continue
		}
		r.add(e, output, w)
	}
	return lines.Err()
}

func (r *report) add(e event, output map[string][]string, w io.Writer) {
	key := e.Package + "." + e.Test
	switch e.Action {
	case "build-output":
		fmt.Fprint(w, e.Output)
	case "output":
		output[key] = append(output[key], e.Output)
		if e.Test == "" && closes(e.Output) {
			r.closing = append(r.closing, strings.TrimSpace(e.Output))
			fmt.Fprint(w, e.Output)
		}
	case "pass":
		if e.Test != "" {
			r.passed++
		}
		delete(output, key)
	case "skip":
		if e.Test != "" {
			r.skipped = append(r.skipped, skip{key, reason(output[key])})
		}
		delete(output, key)
	case "fail":
		if e.Test == "" {
			key = e.Package
			output[key] = dropClosing(output[key+"."])
			delete(output, key+".")
			for _, unended := range slices.Sorted(maps.Keys(output)) { // where the package timed out or panicked that is in what its tests had written
				if strings.HasPrefix(unended, key+".") {
					output[key] = append(output[key], output[unended]...)
					delete(output, unended)
				}
			}
		}
		r.failed = append(r.failed, key)
		fmt.Fprint(w, strings.Join(output[key], ""))
		delete(output, key)
	}
}

// closes reports whether a package's output line is the one that go test ends it with.
func closes(line string) bool {
	return strings.HasPrefix(line, "ok  \t") || strings.HasPrefix(line, "FAIL\t") || strings.HasPrefix(line, "?   \t")
}

func dropClosing(lines []string) []string {
	kept := lines[:0]
	for _, l := range lines {
		if !closes(l) {
			kept = append(kept, l)
		}
	}
	return kept
}

// reason is what a skipped test gave as one: the last line it wrote that isn't test framing.
func reason(lines []string) string {
	for i := len(lines) - 1; i >= 0; i-- {
		l := strings.TrimSpace(lines[i])
		if l != "" && !strings.HasPrefix(l, "--- ") && !strings.HasPrefix(l, "=== ") {
			return l
		}
	}
	return "it gave no reason"
}

// join adds what another run came to.
func (r *report) join(other *report) {
	r.passed += other.passed
	r.failed = append(r.failed, other.failed...)
	r.skipped = append(r.skipped, other.skipped...)
	r.closing = append(r.closing, other.closing...)
}

// print closes the run: go test's lines once more, then everything a person has to act on, then the count.
func (r *report) print(w io.Writer) {
	fmt.Fprintln(w)
	for _, l := range r.closing {
		fmt.Fprintln(w, l)
	}
	for _, s := range r.skipped {
		fmt.Fprintf(w, "SKIPPED %s: %s\n", s.test, s.reason)
	}
	for _, f := range r.failed {
		fmt.Fprintf(w, "FAILED  %s\n", f)
	}
	fmt.Fprintf(w, "%d passed, %d failed, %d skipped\n", r.passed, len(r.failed), len(r.skipped))
}

// err is nil when nothing failed and, with strict, nothing was skipped and something ran.
func (r *report) err(strict bool) error {
	switch {
	case len(r.failed) > 0:
		return fmt.Errorf("%d failed, the first is %s", len(r.failed), r.failed[0])
	case strict && len(r.skipped) > 0:
		return fmt.Errorf("%d skipped, which CI takes for a failure; the first is %s: %s", len(r.skipped), r.skipped[0].test, r.skipped[0].reason)
	case r.passed == 0:
		return fmt.Errorf("no test ran")
	}
	return nil
}

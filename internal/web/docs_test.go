package web_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/internal/web/webtest"
)

var update = flag.Bool("update", false, "write the table of metrics in docs/monitoring.md anew")

// TestMonitoringDocListsAllMetrics, and no others.
func TestMonitoringDocListsAllMetrics(t *testing.T) {
	const file, begin, end = "../../docs/monitoring.md", " -update -->\n", "<!-- end -->"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, found := strings.Cut(string(b), begin)
	got, tail, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has no place for the table", file)
	}
	want := metricsTable(ask(t, webtest.New(1, 20), "/metrics", "").Body.String())
	if *update {
		if err := os.WriteFile(file, []byte(head+begin+want+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s isn't what there is (go test -update writes it anew); -want +got:\n%s", file, diff)
	}
}

// metricsTable has a row for each family of a text: its name, kind, the labels that it has beside host and daemon, and what it says.
func metricsTable(text string) string {
	var b strings.Builder
	b.WriteString("| metric | kind | more labels | |\n|---|---|---|---|\n")
	var name, help, kind, labels string
	flush := func() {
		if name != "" {
			b.WriteString("| `" + name + "` | " + kind + " | " + labels + " | " + help + " |\n")
		}
	}
	for l := range strings.Lines(text) {
		l = strings.TrimSpace(l)
		if f, ok := strings.CutPrefix(l, "# HELP "); ok {
			flush()
			name, help, _ = strings.Cut(f, " ")
			labels = ""
		} else if f, ok := strings.CutPrefix(l, "# TYPE "); ok {
			_, kind, _ = strings.Cut(f, " ")
		} else if labels == "" {
			labels = moreLabels(l)
		}
	}
	flush()
	return b.String()
}

// moreLabels are the names of the labels of a sample, but for those that tell daemons apart and the bounds of a histogram.
func moreLabels(sample string) string {
	var names []string
	_, in, _ := strings.Cut(sample, "{")
	for pair := range strings.SplitSeq(in, `",`) {
		name, _, ok := strings.Cut(pair, "=")
		if ok && name != "host" && name != "daemon" && name != "le" {
			names = append(names, "`"+name+"`")
		}
	}
	return strings.Join(names, ", ")
}

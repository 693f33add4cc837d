package e2e

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// TestLogsAcrossRotations lets a daemon write more than its log may hold while somebody follows, and a run rotates. No line is lost, doubled or cut.
func TestLogsAcrossRotations(t *testing.T) {
	t.Parallel()
	const chunk, chunks = 2000, 30 // of lines of 21 bytes: 1.2 MB in all
	m := newMachine(t)
	w := m.witness("web").listening()
	w.spec += "  log: {maxSize: 64K, maxFiles: 100}\n"
	w.declare()
	run := m.keep("-f", m.path("manifests"), "--resync=1s")
	w.becomes(0)
	m.ok("wait", "web", "--for=condition=Ready", "--timeout=20s")
	follow := m.background("logs", "web", "-f")
	follow.says("is up")
	for i := range chunks {
		w.post(fmt.Sprintf("/write?from=%d&lines=%d", i*chunk, chunk))
	}
	last := fmt.Sprintf("line %08d of web", chunk*chunks-1)
	follow.says(last)
	inOrder(t, "logs -f", follow.stdout.String(), chunk*chunks)
	m.eventually("the log was rotated", func() bool { return m.rotated("web") > 0 })
	inOrder(t, "logs", m.ok("logs", "web").stdout.String(), chunk*chunks)
	m.ok("logs", "web", "--tail=1").printed(last)
	if got := strings.Count(m.ok("logs", "web", "--tail=1500").stdout.String(), "\n"); got != 1500 {
		t.Errorf("--tail=1500 prints %d lines", got)
	}
	follow.interrupt()
	if follow.code() != 0 {
		t.Errorf("logs -f ended with %d after an interrupt, want 0", follow.code())
	}
	run.interrupt()
	w.pid()
}

// rotated is how many rotated log files a daemon has.
func (m *machine) rotated(daemon string) int {
	files, err := filepath.Glob(filepath.Join(m.root, "log", daemon+".log.[0-9]*"))
	if err != nil {
		m.t.Error(err)
	}
	return len(files)
}

// inOrder checks that the numbered lines in text are 0 to n-1.
func inOrder(t testing.TB, what, text string, n int) {
	t.Helper()
	next := 0
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "line ") {
			continue
		}
		if want := fmt.Sprintf("line %08d of web\n", next); line != want {
			t.Fatalf("%s: after %d good lines comes %q, want %q", what, next, line, want)
		}
		next++
	}
	if next != n {
		t.Errorf("%s: %d lines, want %d", what, next, n)
	}
}

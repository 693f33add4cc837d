package e2e

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"reconciler.dev/reconciler/internal/freeport"
)

// testimony is a daemon that is the test program, as a manifest declares it.
type testimony struct {
	m          *machine
	name, addr string
	args       []string // beside those that every one has
	spec       string   // more of its spec, in YAML
	from, to   string   // the program that is installed, and where; without from it is run where it lies, which is at to where that is said
	slots      bool     // two copies may live together
}

// witness makes a daemon; it isn't declared yet.
func (m *machine) witness(name string, args ...string) *testimony {
	return &testimony{m: m, name: name + m.suffix, args: args}
}

// listening gives it an address, and a health check there.
func (w *testimony) listening() *testimony {
	w.addr = freeport.Address(w.m.t)
	w.args = append(w.args, "-addr="+w.addr)
	w.spec += fmt.Sprintf("  health: {url: \"http://%s/healthz\", interval: 100ms, timeout: 1s, failureThreshold: 2, startPeriod: 5s}\n", w.addr)
	return w
}

// configured gives it a config file that holds text, and a signal that makes it reread it.
func (w *testimony) configured(text string) *testimony {
	path := w.m.path(w.name + ".conf")
	if !slices.Contains(w.args, "-config="+path) {
		w.args = append(w.args, "-config="+path)
	}
	w.spec = fmt.Sprintf("  files: [{path: %s, content: %q}]\n  reload: {signal: SIGHUP}\n", path, text) + without(w.spec, "  files:", "  reload:")
	return w
}

// without drops the lines that begin with one of keys.
func without(text string, keys ...string) string {
	var kept strings.Builder
	for line := range strings.Lines(text) {
		if !slices.ContainsFunc(keys, func(k string) bool { return strings.HasPrefix(line, k) }) {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// manifest is the document that declares it.
func (w *testimony) manifest() string {
	args := append([]string{"-name=" + w.name, "-dir=" + w.m.dir}, w.args...)
	spec := w.spec
	if !strings.Contains(spec, "  stop:") {
		spec += "  stop: {gracePeriod: 5s}\n"
	}
	program := "binary: " + cmp.Or(w.to, witness(w.m.t))
	if w.from != "" {
		program = fmt.Sprintf("install: {from: %s, to: %s}", w.from, w.to)
	}
	return fmt.Sprintf("apiVersion: reconciler.dev/v1\nkind: DaemonSpec\nmetadata: {name: %s}\nspec:\n  %s\n  args: [%s]\n%s",
		w.name, program, "'"+strings.Join(args, "', '")+"'", spec)
}

// installed gives it a program of its own, one that no other number gives, which is put beside what it writes.
func (w *testimony) installed(number byte) *testimony {
	w.m.t.Helper()
	program, err := os.ReadFile(witness(w.m.t))
	if err == nil {
		w.from, w.to = w.m.path(w.name+".made"), w.m.path("bin/"+w.name)
		err = os.WriteFile(w.from, append(program, number), 0o755)
	}
	if err != nil {
		w.m.t.Fatal(err)
	}
	return w
}

// runsProgram checks that its process runs the program of that number, which is also what is at its place.
func (w *testimony) runsProgram(number byte) {
	w.m.t.Helper()
	for _, path := range []string{w.to, fmt.Sprintf("/proc/%d/exe", w.pid())} {
		if b, err := os.ReadFile(path); err != nil || len(b) == 0 || b[len(b)-1] != number {
			w.m.t.Errorf("%s isn't program %d of %s: %d bytes, %v", path, number, w.name, len(b), err)
		}
	}
}

// declare writes its manifest to DIR/manifests/NAME.yaml and returns that path.
func (w *testimony) declare() string {
	w.m.t.Helper()
	return w.m.write("manifests/"+w.name+".yaml", w.manifest())
}

// applied declares and applies it.
func (w *testimony) applied() *testimony {
	w.m.t.Helper()
	w.m.ok("apply", "-f", w.declare())
	return w
}

// copies are its living processes, those that it forked and those that are just being started included.
func (w *testimony) copies() []proc {
	w.m.t.Helper()
	return slices.DeleteFunc(w.m.mark.alive(w.m.t), func(p proc) bool { return !slices.Contains(p.args, "-name="+w.name) })
}

// pid is the process that get says it has, which has to be its only one. It waits until that has come as far as its own code.
func (w *testimony) pid() int {
	w.m.t.Helper()
	s, copies := w.m.get(w.name), w.copies()
	if s.Status.Phase != "Running" || len(copies) != 1 || copies[0].pid != s.Status.PID {
		w.m.t.Fatalf("daemon %s is %s with process %d, and these are alive: %v", w.name, s.Status.Phase, s.Status.PID, copies)
	}
	w.m.eventually(fmt.Sprintf("process %d of %s has come to its own code", s.Status.PID, w.name), func() bool { return w.started(s.Status.PID) })
	return s.Status.PID
}

// kill kills its only process behind reconciler's back, and returns which one that was.
func (w *testimony) kill() int {
	w.m.t.Helper()
	pid := w.pid()
	if err := w.m.mark.kill(pid); err != nil {
		w.m.t.Fatal(err)
	}
	return pid
}

// becomes waits until another process than old is its only one, and says that it is up.
func (w *testimony) becomes(old int) int {
	w.m.t.Helper()
	now := 0
	w.m.eventually(fmt.Sprintf("daemon %s has another process than %d", w.name, old), func() bool {
		if c := w.copies(); len(c) == 1 && c[0].pid != old && w.started(c[0].pid) {
			now = c[0].pid
		}
		return now != 0
	})
	return now
}

// testified is what it wrote to one of its files.
func (w *testimony) testified(what string) string {
	return w.m.read(filepath.Join(w.m.dir, w.name+"."+what))
}

// starts is how often it was started.
func (w *testimony) starts() int { return strings.Count(w.testified("starts"), "\n") }

// everStarted tells whether it was started, be it just now.
func (w *testimony) everStarted() bool { return len(w.copies()) > 0 || w.starts() > 0 }

// started tells whether a process has come as far as its own code.
func (w *testimony) started(pid int) bool {
	for line := range strings.Lines(w.testified("starts")) {
		if strings.HasPrefix(line, fmt.Sprintf("%d ", pid)) {
			return true
		}
	}
	return false
}

// goesBy waits until it goes by a config.
func (w *testimony) goesBy(text string) {
	w.m.t.Helper()
	w.m.eventually(fmt.Sprintf("daemon %s goes by the config %q", w.name, text), func() bool { return w.testified("config") == text })
}

// post asks something of it over HTTP.
func (w *testimony) post(path string) {
	w.m.t.Helper()
	if _, err := fetch(http.MethodPost, "http://"+w.addr+path); err != nil {
		w.m.t.Fatal(err)
	}
}

// fetch returns the body of a successful answer.
func fetch(method, url string) (string, error) {
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		return "", err
	}
	client := http.Client{Timeout: patience}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s: %s", method, url, resp.Status, body)
	}
	return string(body), err
}

// within fails a test that took longer than it may.
func within(t testing.TB, limit time.Duration, what string, do func()) {
	t.Helper()
	began := time.Now()
	do()
	if took := time.Since(began); took > limit {
		t.Errorf("%s took %s, more than %s", what, took.Round(time.Millisecond), limit)
	}
}

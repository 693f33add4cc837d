package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"reconciler.dev/reconciler/internal/freeport"
)

const (
	edits    = 10
	editBar  = 300                    // ms from a save to the new code answering, beside what the compiler takes
	editEyes = 2 * time.Millisecond   // between two looks at what answers
	editWait = 2 * time.Minute        // for one edit; the first compiles the standard library, too
	editRest = 300 * time.Millisecond // between edits, as the file system's time has to tell them apart
)

// editor is a person with the source of a small server, which a run builds and keeps.
type editor struct {
	dir  string // of the source
	url  string
	dial func(ctx context.Context, network, address string) (net.Conn, error)
	run  *exec.Cmd

	mu    sync.Mutex
	built time.Duration // the last build took
	said  []string
}

// newEditor writes the source and the manifest, for a host, which is none for this machine; the server listens at address.
func newEditor(ctx context.Context, dir, host, address string) (*editor, error) {
	cache, err := exec.CommandContext(ctx, "go", "env", "GOCACHE").Output()
	if err != nil {
		return nil, fmt.Errorf("find the compiler's cache: %w", err)
	}
	e := &editor{dir: dir, url: "http://" + address + "/"}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	manifest := fmt.Sprintf(`apiVersion: reconciler.dev/v1
kind: DaemonSpec
metadata: {name: edited}
spec:
  host: %s
  build: {command: [go, build, -o, edited, .], inputs: ["*.go", go.mod], output: edited, env: {CGO_ENABLED: "0", GOCACHE: %q, GOFLAGS: -mod=mod}}
  health: {url: %q, interval: 1s}
`, host, strings.TrimSpace(string(cache)), e.url)
	return e, errors.Join(
		os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module edited.example\n\ngo 1.26\n"), 0o644),
		os.WriteFile(filepath.Join(dir, "edited.yaml"), []byte(manifest), 0o644),
		e.save(0, address))
}

// save saves a version of the source.
func (e *editor) save(version int, address string) error {
	text := fmt.Sprintf(`package main

import (
	"fmt"
	"net/http"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "version %d") })
	panic(http.ListenAndServe(%q, nil))
}
`, version, address)
	path := filepath.Join(e.dir, "main.go")
	if err := os.WriteFile(path+"~", []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(path+"~", path)
}

// keep starts the run.
func (e *editor) keep(run *exec.Cmd) error {
	e.run = run
	out, err := run.StdoutPipe()
	if err != nil {
		return err
	}
	run.Stderr = run.Stdout
	if err := run.Start(); err != nil {
		return fmt.Errorf("reconciler run: %w", err)
	}
	go e.listen(out)
	return nil
}

var builtIn = regexp.MustCompile(`build: built .* in ([0-9.µms]+)$`)

func (e *editor) listen(out io.Reader) {
	for lines := bufio.NewScanner(out); lines.Scan(); {
		e.mu.Lock()
		e.said = append(e.said, lines.Text())
		if m := builtIn.FindStringSubmatch(lines.Text()); m != nil {
			e.built, _ = time.ParseDuration(m[1]) // it is one by the pattern, or 0, which makes the figure worse
		}
		e.mu.Unlock()
	}
}

// answers waits until a version answers, and returns when it did, and what the build of it took.
func (e *editor) answers(ctx context.Context, version int) (at time.Time, built time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, editWait)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DialContext: e.dial, DisableKeepAlives: true}}
	want := fmt.Sprintf("version %d", version)
	for {
		if got := e.get(ctx, client); got == want {
			at = time.Now()
			e.mu.Lock()
			defer e.mu.Unlock()
			return at, e.built, nil
		}
		if err := pause(ctx, editEyes); err != nil {
			e.mu.Lock()
			defer e.mu.Unlock()
			return at, 0, fmt.Errorf("wait for %s to answer at %s: %w; the run said:\n%s", want, e.url, err, tail(strings.Join(e.said, "\n"), 20))
		}
	}
}

// get is what answers; empty where nothing does.
func (e *editor) get(ctx context.Context, client *http.Client) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.url, nil)
	if err != nil {
		return ""
	}
	resp, err := client.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body) // half an answer is none
	return string(text)
}

// measure edits the source again and again. beyond is what it took beside the compiler.
func (e *editor) measure(ctx context.Context, address string) (beyond, compiler figures, err error) {
	if _, _, err := e.answers(ctx, 0); err != nil {
		return nil, nil, err
	}
	for version := 1; version <= edits; version++ {
		if err := pause(ctx, editRest); err != nil {
			return nil, nil, err
		}
		saved := time.Now()
		if err := e.save(version, address); err != nil {
			return nil, nil, err
		}
		at, built, err := e.answers(ctx, version)
		if err != nil {
			return nil, nil, err
		}
		beyond.took(at.Sub(saved) - built)
		compiler.took(built)
	}
	return beyond, compiler, nil
}

// end ends the run, as ^C does.
func (e *editor) end() error {
	if err := e.run.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	return ignoreExit(e.run.Wait())
}

// ignoreExit takes an exit status for what it is: ^C is how a run ends.
func ignoreExit(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil
	}
	return err
}

func editRows(where string, beyond, compiler figures) []row {
	return []row{
		{what: "a save to the new code answering, beside the compiler, " + where, unit: "ms", ours: beyond, bar: editBar},
		{what: "the compiler, " + where, unit: "ms", ours: compiler},
	}
}

// edits measures edits here.
func (b *bench) edits(ctx context.Context) (rows []row, err error) {
	if b.reconciler == "" {
		return nil, nil
	}
	ten, release, err := freeport.Take()
	if err != nil {
		return nil, err
	}
	defer release()
	address := fmt.Sprintf("127.0.0.1:%d0", ten)
	dir := filepath.Join(b.dir, "edits")
	e, err := newEditor(ctx, filepath.Join(dir, "src"), "localhost", address)
	if err != nil {
		return nil, err
	}
	command := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, b.reconciler, args...)
		cmd.Env = append(os.Environ(), "RECONCILER_STATE_DIR="+filepath.Join(dir, "state"), "RECONCILER_DRIVERS="+b.driver)
		return cmd
	}
	if err := e.keep(command("run", "-f", filepath.Join(e.dir, "edited.yaml"))); err != nil {
		return nil, err
	}
	beyond, compiler, err := e.measure(ctx, address)
	_, goneErr := timed(command("delete", "--now", "--force", "edited"))
	if err := errors.Join(err, e.end(), goneErr); err != nil {
		return nil, fmt.Errorf("edit a source here: %w", err)
	}
	return editRows("here", beyond, compiler), nil
}

// edits measures edits of what runs on a host behind SSH.
func (s *site) edits(ctx context.Context) (rows []row, err error) {
	h := s.hosts[0]
	const port = "18080"
	e, err := newEditor(ctx, filepath.Join(s.b.dir, "remote", "edits"), h.Name, h.Addr+":"+port)
	if err != nil {
		return nil, err
	}
	e.dial = h.Dial
	if err := e.keep(s.command(ctx, s.b.reconciler, "run", "--set=edits", "-f", filepath.Join(e.dir, "edited.yaml"))); err != nil {
		return nil, err
	}
	beyond, compiler, err := e.measure(ctx, h.Addr+":"+port)
	if err := errors.Join(err, e.end()); err != nil {
		return nil, fmt.Errorf("edit a source for a host behind SSH: %w", err)
	}
	_, err = s.do(ctx, "delete", "--now", "--force", "--host", h.Name, "edited")
	return editRows("on a host behind SSH", beyond, compiler), err
}

//go:build linux

package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTour types the README's tour into a clone, block after block in one shell that stops at the first error, as a newcomer would.
func TestTour(t *testing.T) {
	blocks := shellBlocks(t, "../../README.md")
	if len(blocks) < 5 {
		t.Fatalf("the README has only %d blocks of commands: is the tour gone?", len(blocks))
	}
	const config = "/tmp/reconciler-hello" // where the examples have theirs
	if _, err := os.Stat(config); os.IsNotExist(err) {
		t.Cleanup(func() {
			if err := os.RemoveAll(config); err != nil {
				t.Error(err)
			}
		})
	}
	tour(t, "examples/manifests", blocks)
}

// TestProgramsTour does the same with what docs/programs.md says, after what it says is to be done first.
func TestProgramsTour(t *testing.T) {
	tour(t, "examples/manifests/build", append([]string{"make build hello"}, shellBlocks(t, "../../docs/programs.md")...))
}

// TestMonitoringTour does it with docs/monitoring.md.
func TestMonitoringTour(t *testing.T) {
	tour(t, "examples/manifests", append([]string{"make build hello"}, shellBlocks(t, "../../docs/monitoring.md")...))
}

// TestEventsTour does it with docs/events.md.
func TestEventsTour(t *testing.T) {
	tour(t, "examples/manifests", append([]string{"make build hello"}, shellBlocks(t, "../../docs/events.md")...))
}

// tour types blocks of commands into a clone. Root has a loopback of its own for that, on which the ports of the examples are free, and a PID namespace, so that no daemon outlives
// a tour that fails.
func tour(t *testing.T, manifests string, blocks []string) {
	t.Helper()
	clone := t.TempDir()
	run(t, "../..", nil, "git", "clone", "-q", ".", clone)
	overlay(t, "../..", clone)
	env := append(os.Environ(), "RECONCILER_STATE_DIR="+filepath.Join(clone, "state"), "HOME="+clone)
	env = append(env, "GOCACHE="+output(t, "go", "env", "GOCACHE"), "GOMODCACHE="+output(t, "go", "env", "GOMODCACHE"))
	defer run(t, clone, env, "sh", "-c", "[ ! -x bin/reconciler ] || bin/reconciler delete --ignore-not-found -f "+manifests)
	script := "set -eux\n" + strings.Join(blocks, "\n")
	words := []string{"sh", "-c", script}
	if os.Getuid() == 0 {
		words = append([]string{"unshare", "--net", "--pid", "--mount-proc", "--fork", "--kill-child", "sh", "-c", `ip link set lo up && "$@"`, "sh"}, words...)
	}
	t.Log(run(t, clone, env, words[0], words[1:]...))
}

// shellBlocks returns the fenced blocks marked sh of a document.
func shellBlocks(t *testing.T, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, part := range strings.Split(string(b), "\n```sh\n")[1:] {
		block, _, ok := strings.Cut(part, "\n```")
		if !ok {
			t.Fatalf("%s has a block without an end: %q", path, part)
		}
		blocks = append(blocks, block)
	}
	return blocks
}

// overlay copies the sources that aren't committed yet over the clone, so that the test tries what is here.
func overlay(t *testing.T, from, to string) {
	t.Helper()
	out := output(t, "git", "-C", from, "ls-files", "-mo", "--exclude-standard")
	for name := range strings.FieldsSeq(out) {
		b, err := os.ReadFile(filepath.Join(from, name))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(to, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, name), b, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		t.Fatalf("%s %v: %v", name, args, err)
	}
	return strings.TrimSpace(string(out))
}

// run runs a command to its end and returns what it printed.
func run(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, env
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

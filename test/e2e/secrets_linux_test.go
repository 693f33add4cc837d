package e2e

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSecretsAreNeverTold hands a daemon two secrets, takes it through every verb, and looks for them in all that was printed and all that is kept.
func TestSecretsAreNeverTold(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	const fromFile, fromEnv, changed = "canary-7f3a9c-from-file", "canary-51b2e8-from-env", "canary-d04417-changed"
	if err := os.Mkdir(m.path("private"), 0o700); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join("private", "token")
	m.write(secret, fromFile+"\n")
	w := m.witness("web", "-secret=TOKEN").configured("one")
	w.spec += fmt.Sprintf("  env: {TOKEN: {fromFile: %q}, OTHER: {fromEnv: CANARY}, PLAIN: visible}\n", m.path(secret))
	file := w.declare()
	env := m.with("CANARY=" + fromEnv)
	knows := func(value string) {
		t.Helper()
		want := fmt.Sprintf("%x", sha256.Sum256([]byte(value)))
		m.eventually("web was handed the secret "+value, func() bool {
			lines := strings.Fields(w.testified("secret"))
			return len(lines) > 0 && lines[len(lines)-1] == want
		})
	}

	env.ok("validate", "-f", file)
	env.ok("plan", "-f", file, "-o", m.path("web.plan"))
	env.ok("apply", "--plan", m.path("web.plan"), "-v=2")
	knows(fromFile)
	env.ok("get", "-o", "yaml")
	env.ok("get", "-o", "json").said("visible", "fromFile", "fromEnv")
	env.ok("describe", "web")
	m.write(secret, changed)
	env.exits(1, "diff", "-f", file).said("spec.env[TOKEN]")
	env.exits(1, "diff", "-f", file, "-o", "json")
	env.ok("apply", "-f", file, "-o", "json", "-v=2")
	knows(changed)
	env.ok("restart", "web", "-v=2")
	env.ok("rollout", "history", "web")
	env.ok("rollout", "history", "web", "--revision=1", "-o", "json")
	env.ok("rollout", "undo", "web", "-v=2")
	env.ok("events", "-o", "json")
	run := env.background("run", "-f", file, "-v=2")
	run.says("ends this")
	old := w.pid()
	w.kill()
	w.becomes(old)
	run.interrupt()
	m.exits(2, "apply", "-f", file).said("CANARY")
	env.ok("stop", "web")
	env.ok("start", "web")
	env.ok("delete", "web", "-o", "json")

	for _, value := range []string{fromFile, fromEnv, changed} {
		for _, c := range m.transcript {
			if strings.Contains(c.stdout.String()+c.stderr.String(), value) {
				t.Errorf("it prints the secret %s:\n%v", value, c)
			}
		}
		m.hides(value)
	}
}

// hides checks that no file that reconciler keeps, nor the name of one, has value in it.
func (m *machine) hides(value string) {
	m.t.Helper()
	files := 0
	err := filepath.WalkDir(m.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Dir(path) == m.path("private") {
			return err
		}
		files++
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte(value)) || strings.Contains(path, value) {
			m.t.Errorf("the secret %s stands in %s", value, path)
		}
		return err
	})
	if err != nil {
		m.t.Error(err)
	}
	if files < 5 {
		m.t.Errorf("only %d files were looked at", files)
	}
}

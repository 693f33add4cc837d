package systemd

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/internal/spawn"
	"reconciler.dev/reconciler/internal/testprog"
	"reconciler.dev/reconciler/pkg/spec"
	"reconciler.dev/reconciler/test/labhost"
)

// bare is a systemd as units see it, used through its own command line.
type bare struct {
	t     *testing.T
	facts Facts
	dir   string // of this test's files
	units string
}

func newBare(t *testing.T, user bool) *bare {
	t.Helper()
	b := &bare{t: t, dir: t.TempDir(), units: "/run/systemd/system"}
	if user {
		b.units = filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "systemd", "user")
	}
	tool, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	version := strings.Fields(string(b.run(exec.Command("systemctl", "--version"))))[1]
	b.facts = Facts{User: user, Tool: tool, EnvDir: b.dir, UnitOf: func(string) string { return "" }, Account: func(user, group string) (*spawn.Account, error) {
		a, _, err := spawn.LookupAccount(user, group)
		return a, err
	}}
	if b.facts.Version, err = strconv.Atoi(version); err != nil {
		t.Fatal(err)
	}
	if user {
		for line := range strings.Lines(string(b.systemctl("show-environment"))) {
			name, _, _ := strings.Cut(line, "=")
			b.facts.Inherited = append(b.facts.Inherited, name)
		}
	}
	if err := os.MkdirAll(b.units, 0o755); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bare) run(c *exec.Cmd) []byte {
	b.t.Helper()
	out, err := c.CombinedOutput()
	if err != nil {
		b.t.Fatalf("%q: %v\n%s", c.Args, err, out)
	}
	return out
}

func (b *bare) systemctl(args ...string) []byte {
	b.t.Helper()
	if b.facts.User {
		args = append([]string{"--user"}, args...)
	}
	return b.run(exec.Command("systemctl", args...))
}

// daemon is one that runs the test program and reports.
func (b *bare) daemon(name string, rest ...string) *spec.Daemon {
	o := testprog.Stay(filepath.Join(b.dir, name+".report"))
	o.Rest = rest
	d := &spec.Daemon{Metadata: spec.Metadata{Name: name}, Digest: "sha256:0123456789abcdef"}
	spec.Defaults(&d.Spec)
	d.Spec.Binary, d.Spec.Args = os.Getenv("RECONCILER_TESTPROG"), o.Args()
	return d
}

// install renders d into a unit file that systemd will read.
func (b *bare) install(d *spec.Daemon) Unit {
	b.t.Helper()
	u, err := Render(d, stampOfDaemon(d), b.facts)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.units, u.Name), u.Text, 0o644); err != nil {
		b.t.Fatal(err)
	}
	if u.EnvFile != "" {
		if err := os.WriteFile(u.EnvFile, u.Secrets, 0o600); err != nil {
			b.t.Fatal(err)
		}
	}
	return u
}

// start starts d and returns what its process says of itself.
func (b *bare) start(d *spec.Daemon) testprog.Line {
	b.t.Helper()
	u := b.install(d)
	b.systemctl("start", u.Name)
	b.t.Cleanup(func() { b.systemctl("stop", u.Name) })
	return b.report(d.Name)
}

// report waits for the line of the main process.
func (b *bare) report(name string) testprog.Line {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 20*time.Second)
	defer cancel()
	for {
		text, err := os.ReadFile(filepath.Join(b.dir, name+".report"))
		if lines, bad := testprog.ParseReport(text); err == nil && bad == nil && len(lines) > 0 {
			return lines[0]
		}
		select {
		case <-ctx.Done():
			b.t.Fatalf("%s reports nothing: %s", name, b.systemctl("status", "--lines=20", "--full", name+".service"))
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func stampOfDaemon(d *spec.Daemon) *spec.Stamp {
	return &spec.Stamp{Metadata: d.Metadata, Spec: d.Spec, Digest: d.Digest, Owner: spec.Owner{Set: "test"}, Tool: "v0.0.0-test", Generation: 3}
}

// differences compares what arrived with what was sent, byte by byte.
func differences(t *testing.T, what string, want []string, got [][]byte) {
	t.Helper()
	var have []string
	for _, b := range got {
		have = append(have, string(b))
	}
	if d := cmp.Diff(want, have); d != "" {
		t.Errorf("%s: -sent +arrived\n%s", what, d)
	}
}

// sub runs a part of a test.
func (b *bare) sub(name string, f func(t *testing.T, b *bare)) {
	b.t.Run(name, func(t *testing.T) {
		part := *b
		part.t = t
		f(t, &part)
	})
}

// onAll runs f on a host with a manager of the system, on one with that of a later release, and on one with a user's.
func onAll(t *testing.T, f func(*bare)) {
	for _, kind := range []labhost.Kind{labhost.Systemd, labhost.SystemdNext, labhost.SystemdUser} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			labhost.Test(t, kind, func(t *testing.T) { f(newBare(t, kind == labhost.SystemdUser)) })
		})
	}
}

// What a daemon gets is what its manifest says, whichever bytes these are: the proof is a program that systemd itself starts.
func TestSystemdHandsOnEveryByte(t *testing.T) {
	onAll(t, func(b *bare) {
		b.sub("arguments that systemd can carry", func(t *testing.T, b *bare) {
			d := b.daemon("args", slices.DeleteFunc(testprog.Hostile(), func(s string) bool { return !carriable(s) })...)
			if u := b.install(d); u.UsesTool {
				t.Error("the tool is used where systemd could do")
			}
			differences(t, "arguments", append([]string{d.Spec.Binary}, d.Spec.Args...), b.start(d).Args)
		})
		b.sub("all arguments", func(t *testing.T, b *bare) {
			d := b.daemon("more", append(testprog.Hostile(), strings.Repeat("é\n$%", 20_000))...)
			differences(t, "arguments", append([]string{d.Spec.Binary}, d.Spec.Args...), b.start(d).Args)
		})
		b.sub("variables", func(t *testing.T, b *bare) {
			variablesArrive(t, b, "vars", testprog.HostileVariables(), testprog.Hostile())
		})
		b.sub("variables that systemd can carry", func(t *testing.T, b *bare) {
			values := slices.DeleteFunc(testprog.Hostile(), func(s string) bool { return !direct("X", s) })
			var names []string
			for i := range values {
				names = append(names, fmt.Sprintf("X%d", i))
			}
			if u := variablesArrive(t, b, "directvars", names, values); u.UsesTool {
				t.Error("the tool is used where systemd could do")
			}
		})
		b.sub("paths", func(t *testing.T, b *bare) { pathsArrive(t, b) })
	})
}

// variablesArrive hands values to a daemon, each in the open and as a secret.
func variablesArrive(t *testing.T, b *bare, name string, names, values []string) Unit {
	d := b.daemon(name)
	d.Spec.Env, d.Secrets = map[string]spec.EnvVar{}, map[string]spec.Secret{}
	account, err := b.facts.Account("", "")
	if err != nil {
		t.Fatal(err)
	}
	vars := map[string]string{}
	for i, v := range values {
		open, secret := names[i%len(names)], fmt.Sprintf("S%d", i)
		d.Spec.Env[open] = spec.EnvVar{Value: &v}
		d.Spec.Env[secret] = spec.EnvVar{FromFile: "/secrets/x", Digest: "sha256:00"}
		d.Secrets[secret] = spec.NewSecret(v)
		vars[open], vars[secret] = v, v
	}
	u := b.install(d)
	got := b.start(d).Env
	slices.SortFunc(got, func(a, b []byte) int { return strings.Compare(string(a), string(b)) })
	want := account.EnvironWith(vars)
	slices.Sort(want)
	differences(t, "environment", want, got)
	return u
}

// pathsArrive starts a daemon for every odd name, with that name for its program, its directory and its log.
func pathsArrive(t *testing.T, b *bare) {
	program, err := os.ReadFile(os.Getenv("RECONCILER_TESTPROG"))
	if err != nil {
		t.Fatal(err)
	}
	original := filepath.Join(b.dir, "program")
	if err := os.WriteFile(original, program, 0o755); err != nil {
		t.Fatal(err)
	}
	var names []string
	var daemons []*spec.Daemon
	for i, name := range testprog.HostileNames() {
		d := b.daemon(fmt.Sprintf("path%d", i))
		for _, where := range []string{"bin", "dir", "log"} {
			if err := os.MkdirAll(filepath.Join(b.dir, where), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		d.Spec.Binary, d.Spec.WorkingDir = b.dir+"/bin/"+name, b.dir+"/dir/"+name
		if plain(name) && !controls(name) && !(b.facts.Version >= hasHelper && blankEnd(name)) {
			d.Spec.Log.Path = b.dir + "/log/" + name
		}
		if err := os.Link(original, d.Spec.Binary); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
		if err := os.Mkdir(d.Spec.WorkingDir, 0o755); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
		daemons = append(daemons, d)
		names = append(names, b.install(d).Name)
	}
	b.systemctl(append([]string{"start"}, names...)...)
	t.Cleanup(func() { b.systemctl(append([]string{"stop"}, names...)...) })
	for _, d := range daemons {
		l := b.report(d.Name)
		if string(l.Args[0]) != d.Spec.Binary || string(l.Dir) != d.Spec.WorkingDir || d.Spec.Log.Path != "" && l.Files[1] != d.Spec.Log.Path {
			t.Errorf("%q runs in %q as %q and writes to %q", filepath.Base(d.Spec.Binary), l.Dir, l.Args[0], l.Files[1])
		}
	}
}

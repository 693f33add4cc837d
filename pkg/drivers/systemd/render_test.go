package systemd

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/internal/spawn"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/spec"
)

var update = flag.Bool("update", false, "write the golden files anew")

// factsOf is a host with that version of systemd, where everybody who is asked for has an account.
func factsOf(version int, user bool) Facts {
	return Facts{
		Version: version, User: user, Tool: "/usr/local/bin/reconciler", EnvDir: "/var/lib/reconciler/env",
		UnitOf: func(name string) string {
			if name == "plain" {
				return ""
			}
			return name + ".service"
		},
		Account: func(user, group string) (*spawn.Account, error) {
			switch user {
			case "":
				return &spawn.Account{Name: "root", Home: "/root", Shell: "/bin/bash"}, nil
			case "nobody-at-all":
				return nil, fmt.Errorf("there is no user %q", user)
			}
			return &spawn.Account{UID: 33, GID: 33, Name: user, Home: "/var/www", Shell: "/usr/sbin/nologin"}, nil
		},
	}
}

// daemonOf reads a manifest as it is when its program is there.
func daemonOf(t *testing.T, text string) *spec.Daemon {
	t.Helper()
	ms, err := spec.Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	d := &spec.Daemon{Metadata: ms[0].Metadata, Spec: ms[0].Spec, Secrets: map[string]spec.Secret{}}
	for name, v := range d.Spec.Env {
		if v.Value == nil {
			d.Secrets[name] = spec.NewSecret("the $ecret of `" + name + "`, \"quoted\" \\")
		}
	}
	d.Digest = "sha256:0123456789abcdef0123456789abcdef"
	return d
}

func stampOf1(d *spec.Daemon) *spec.Stamp {
	return &spec.Stamp{
		Metadata: d.Metadata, Spec: d.Spec, Digest: d.Digest, Owner: spec.Owner{Set: "default"}, Tool: "v1.0.0", Generation: 7,
		AppliedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
}

func TestUnits(t *testing.T) {
	for _, tt := range []struct {
		manifest string
		version  int
		user     bool
	}{
		{"minimal", 252, false}, {"minimal", 239, false}, {"minimal", 256, false}, {"minimal", 252, true},
		{"full", 256, false}, {"full", 241, false},
		{"sandbox", 252, false}, {"sandbox", 252, true},
		{"notify", 252, false}, {"forking", 252, false},
		{"hostile", 252, false}, {"secrets", 252, false},
	} {
		name := fmt.Sprintf("%s-%d", tt.manifest, tt.version)
		if tt.user {
			name += "-user"
		}
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("testdata", tt.manifest+".yaml"))
			if err != nil {
				t.Fatal(err)
			}
			d := daemonOf(t, string(text))
			u, err := Render(d, stampOf1(d), factsOf(tt.version, tt.user))
			if err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("testdata", name+".golden"), show(u))
		})
	}
}

// show is all of a unit for people.
func show(u Unit) string {
	var b strings.Builder
	fmt.Fprintf(&b, "===== %s\n%s", u.Name, u.Text)
	if u.EnvFile != "" {
		fmt.Fprintf(&b, "===== %s\n%s", u.EnvFile, u.Secrets)
	}
	for _, l := range u.Lost {
		fmt.Fprintf(&b, "===== lost: %s: %s\n", l.Field, l.Reason)
	}
	return b.String()
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is not what came out (go test -update writes it anew); -want +got:\n%s", file, diff)
	}
}

const manifestHead = "apiVersion: reconciler.dev/v1\nkind: DaemonSpec\nmetadata: {name: web}\nspec:\n  binary: /bin/web\n"

// What a unit can't carry is refused, and the field named.
func TestRenderRefuses(t *testing.T) {
	long := strings.Repeat("x", 200<<10)
	for _, tt := range []struct {
		name   string
		change func(*spec.Daemon, *Facts)
		kind   error
		want   string
	}{
		{"a log with a newline", func(d *spec.Daemon, _ *Facts) { d.Spec.Log.Path = "/a\nb" }, drivers.ErrUnsupported, "spec.log.path: "},
		{"a log that isn't UTF-8", func(d *spec.Daemon, _ *Facts) { d.Spec.Log.Path = "/a\xff" }, drivers.ErrUnsupported, "spec.log.path: "},
		{"a log, before there was append:", func(d *spec.Daemon, f *Facts) { d.Spec.Log.Path, f.Version = "/log", 239 }, drivers.ErrUnsupported, "spec.log.path: systemd 239 "},
		{"a log with a space at its end, since that gets lost", func(d *spec.Daemon, f *Facts) { d.Spec.Log.Path, f.Version = "/log ", 255 }, drivers.ErrUnsupported, "spec.log.path: "},
		{"a user with a newline", func(d *spec.Daemon, _ *Facts) { d.Spec.User = "a\nUser=root" }, drivers.ErrUnsupported, "spec.user: "},
		{"a user with a backslash", func(d *spec.Daemon, _ *Facts) { d.Spec.User = `a\` }, drivers.ErrUnsupported, "spec.user: "},
		{"a group with a space", func(d *spec.Daemon, _ *Facts) { d.Spec.Group = "a b" }, drivers.ErrUnsupported, "spec.group: "},
		{"a user that isn't there", func(d *spec.Daemon, _ *Facts) { d.Spec.User = "nobody-at-all" }, drivers.ErrPermanent, "no user"},
		{"an argument that no process can have", func(d *spec.Daemon, _ *Facts) { d.Spec.Args = []string{"a", long} }, drivers.ErrUnsupported, "spec.args[1]: "},
		{"an argument that is too long once it is encoded", func(d *spec.Daemon, _ *Facts) { d.Spec.Args = []string{"\xff" + long[:100<<10]} }, drivers.ErrUnsupported, "spec.args[0]: "},
		{"more arguments than a line holds", func(d *spec.Daemon, _ *Facts) {
			for range 11 {
				d.Spec.Args = append(d.Spec.Args, long[:100<<10])
			}
		}, drivers.ErrUnsupported, "spec.args: "},
		{"a path that no file can have", func(d *spec.Daemon, _ *Facts) { d.Spec.Binary = "/" + long }, drivers.ErrUnsupported, "spec.binary: "},
		{"a variable that no process can have", func(d *spec.Daemon, _ *Facts) { d.Spec.Env = map[string]spec.EnvVar{"X": {Value: &long}} }, drivers.ErrUnsupported, "spec.env.X: "},
		{"a secret that wasn't read", func(d *spec.Daemon, _ *Facts) { d.Spec.Env = map[string]spec.EnvVar{"X": {FromFile: "/x"}} }, drivers.ErrPermanent, "spec.env.X: "},
		{"a slice that can't be", func(d *spec.Daemon, _ *Facts) { d.Spec.Cgroup = &spec.Cgroup{Slice: "a--b"} }, drivers.ErrUnsupported, "spec.cgroup.slice: "},
		{"a process limit that isn't", func(d *spec.Daemon, _ *Facts) { d.Spec.Rlimits = map[string]spec.Rlimit{"x": {}} }, drivers.ErrUnsupported, "spec.rlimits.x: "},
		{"more seconds than systemd counts", func(d *spec.Daemon, _ *Facts) { d.Spec.Rlimits = map[string]spec.Rlimit{"cpu": {Hard: 1 << 62}} }, drivers.ErrUnsupported, "spec.rlimits.cpu: "},
		{"a sandbox that a user's systemd lacks", func(d *spec.Daemon, f *Facts) {
			d.Spec.Sandbox, f.User = &spec.Sandbox{PrivateTmp: true, Required: true}, true
		}, drivers.ErrUnsupported, "spec.sandbox.privateTmp: "},
		{"a writable path with a newline", func(d *spec.Daemon, _ *Facts) { d.Spec.Sandbox = &spec.Sandbox{ReadWritePaths: []string{"/a\nb"}} }, drivers.ErrUnsupported, "spec.sandbox.readWritePaths: "},
		{"a stop by a tool that systemd can't call", func(d *spec.Daemon, f *Facts) { d.Spec.Stop.URL, f.Tool = "http://x/", `/opt/it's/reconciler` }, drivers.ErrUnsupported, "spec.stop.url: "},
		{"a path that only the tool could execute, which systemd can't either", func(d *spec.Daemon, f *Facts) { d.Spec.Binary, f.Tool = "/it's", `/opt/it's/reconciler` }, drivers.ErrUnsupported, "spec.binary: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, f := daemonOf(t, manifestHead), factsOf(252, false)
			tt.change(d, &f)
			u, err := Render(d, stampOf1(d), f)
			if !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %v with %q\n%s", err, tt.kind, tt.want, u.Text)
			}
		})
	}
}

// What is carried in part only is said.
func TestLosses(t *testing.T) {
	for _, tt := range []struct {
		manifest string
		version  int
		user     bool
		want     string
	}{
		{"", 252, false, ""},
		{"  restart: {backoff: {initial: 2s, resetAfter: 2m}}", 252, false, ""},
		{"  restart: {backoff: {max: 1m}}", 252, false, "spec.restart.backoff.max"},
		{"  restart: {backoff: {max: 1m, initial: 1m}}", 252, false, ""},
		{"  restart: {backoff: {max: 1m}}", 254, false, ""},
		{"  restart: {backoff: {resetAfter: 2m}}", 254, false, "spec.restart.backoff.resetAfter"},
		{"  restart: {policy: Never, backoff: {max: 1m}}", 252, false, ""},
		{"  cgroup: {cpuLimit: 12.5%}", 247, false, "spec.cgroup.cpuLimit"},
		{"  cgroup: {cpuLimit: 12.5%}", 248, false, ""},
		{"  cgroup: {pidsLimit: 5}\n  stop: {url: http://x}", 252, false, "spec.stop.url"},
		{"  cgroup: {pidsLimit: 6}\n  stop: {url: http://x}", 252, false, ""},
		{"  cgroup: {pidsLimit: 5}", 252, false, ""},
		{"  sandbox: {noNewPrivileges: true, capabilities: [NONE]}", 252, true, ""},
		{"  sandbox: {capabilities: [NONE]}", 252, true, "spec.sandbox.capabilities"},
		{"  sandbox: {privateTmp: true, protectHome: \"yes\"}", 252, true, "spec.sandbox.protectHome spec.sandbox.privateTmp"},
		{"  sandbox: {privateTmp: true, protectHome: \"yes\", required: true}", 252, false, ""},
	} {
		d := daemonOf(t, manifestHead+tt.manifest+"\n")
		u, err := Render(d, stampOf1(d), factsOf(tt.version, tt.user))
		if err != nil {
			t.Fatal(err)
		}
		var lost []string
		for _, l := range u.Lost {
			lost = append(lost, l.Field)
		}
		if got := strings.Join(lost, " "); got != tt.want {
			t.Errorf("systemd %d, user %v, %s: lost %q, want %q", tt.version, tt.user, tt.manifest, got, tt.want)
		}
	}
}

// No secret is anywhere but in the file that is the manager's alone.
func TestSecretsStayOutOfTheUnit(t *testing.T) {
	text, err := os.ReadFile("testdata/secrets.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"s3cr3t", "s3cr3t\x01control", "s3cr3t\xff"} {
		d := daemonOf(t, string(text))
		d.Secrets["TOKEN"] = spec.NewSecret(value)
		u, err := Render(d, stampOf1(d), factsOf(252, false))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(u.Text, []byte("s3cr3t")) || !u.UsesTool && !bytes.Contains(u.Secrets, []byte(value)) || u.UsesTool == (value == "s3cr3t") {
			t.Errorf("%q: %s\n%s", value, u.Text, u.Secrets)
		}
	}
}

func TestSpans(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "1us", time.Nanosecond: "1us", time.Microsecond: "1us", 1500 * time.Microsecond: "1500us", time.Millisecond: "1ms", 1500 * time.Millisecond: "1500ms",
		time.Minute: "60s", 1<<63 - 1: "9223372036854776us",
	} {
		if got := span(d); got != want {
			t.Errorf("%v is %s, want %s", d, got, want)
		}
	}
}

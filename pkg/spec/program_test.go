package spec

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func parseSpec(t *testing.T, text string) (Manifest, error) {
	t.Helper()
	ms, err := Parse("p.yaml", []byte("apiVersion: reconciler.dev/v1\nkind: DaemonSpec\nmetadata: {name: worker}\nspec:\n"+text))
	if err != nil {
		return Manifest{}, err
	}
	return ms[0], nil
}

func TestProgramsThatAreWrong(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"none at all", "  args: [a]\n", "spec.binary: this is required, where there is neither build nor install"},
		{"no source", "  install: {to: /usr/bin/w}\n", "spec.install.from: this is required, where there is no build"},
		{"two sources", "  build: {command: [make], inputs: [a], output: w}\n  install: {from: w}\n", "comes from build already"},
		{"two places", "  binary: /usr/bin/v\n  install: {from: w, to: /usr/bin/w}\n", "another program than install.to"},
		{"a path without to", "  binary: bin/w\n  install: {from: w}\n", "only called by a name"},
		{"a URL without a digest", "  install: {from: \"https://example.com/w\"}\n", "spec.install.sha256: this is required for a URL"},
		{"plain http", "  install: {from: \"http://example.com/w\"}\n", "can't be fetched"},
		{"a password", "  install: {from: \"https://a:b@example.com/w\", sha256: " + strings.Repeat("0a", 32) + "}\n", "stamped and shown"},
		{"no digest", "  install: {from: w, sha256: abc}\n", "is no SHA-256"},
		{"a digest of what is built", "  build: {command: [make], inputs: [a], output: w}\n  install: {sha256: " + strings.Repeat("0a", 32) + "}\n", "are for a program that comes from"},
		{"a mode that executes nothing", "  install: {from: w, mode: \"0644\"}\n", "is no mode of a program"},
		{"half an owner", "  install: {from: w, owner: \":wheel\"}\n", "can't be an owner"},
		{"an archive of no known kind", "  install: {from: w.rar, archive: {member: w}}\n", "spec.install.archive.format"},
		{"an archive without a member", "  install: {from: w.tar.gz, archive: {}}\n", "which file of the archive"},
		{"a member of a gz", "  install: {from: w.gz, archive: {member: w}}\n", "holds one file"},
		{"an output elsewhere", "  build: {command: [make], inputs: [a], output: ../w}\n", "leaves build.dir"},
		{"an absolute input", "  build: {command: [make], inputs: [/etc/passwd], output: w}\n", "is absolute"},
		{"no inputs", "  build: {command: [make], output: w}\n", "spec.build.inputs: this is required"},
		{"no time to be ready", "  binary: /w\n  update: {readyTimeout: 10ms}\n", "spec.update.readyTimeout"},
		{"a socket by a name", "  binary: /w\n  listen: [\"tcp://localhost:80\"]\n", "no IP address"},
		{"a socket without a port", "  binary: /w\n  listen: [\"tcp://0.0.0.0\"]\n", "with a port of 1 to 65535"},
		{"a relative socket", "  binary: /w\n  listen: [\"unix://x.sock\"]\n", "an absolute path"},
		{"a check that proves nothing", "  binary: /w\n  listen: [\"tcp://:80\"]\n  health: {tcp: \"localhost:80\"}\n", "spec.health.tcp: listen[0] takes connections whether"},
		{"a socket twice", "  binary: /w\n  listen: [\"tcp://:80\", \"tcp://:80\"]\n", "is listen[0] too"},
		{"two ways to reload", "  binary: /w\n  reload: {signal: HUP, exec: [a]}\n", "exactly one of signal, url and exec"},
		{"a proof of nothing", "  binary: /w\n  healthURL: http://localhost/\n  reload: {signal: HUP, expect: {}}\n", "give header, body or both"},
		{"a proof from nowhere", "  binary: /w\n  reload: {signal: HUP, expect: {body: a}}\n", "spec.reload.expect.url: this is required"},
		{"a header that is none", "  binary: /w\n  healthURL: http://localhost/\n  reload: {signal: HUP, expect: {header: a}}\n", "is no header"},
		{"a slot of one copy", "  binary: /w\n  healthURL: http://localhost:808$(SLOT)/\n", "only known where update.strategy is StartFirst"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parseSpec(t, tt.text)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestWhatAProgramIsCalled(t *testing.T) {
	tests := []struct{ text, want string }{
		{"  build: {command: [make], inputs: [a], output: dist/worker, on: host}\n", "worker"},
		{"  build: {command: [make], inputs: [a], output: dist/worker}\n  install: {to: /usr/local/bin/w}\n", "/usr/local/bin/w"},
		{"  install: {from: dist/worker}\n", "worker"},
		{"  install: {from: dist/worker}\n  binary: other\n", "other"},
		{"  install: {from: w.tar.gz, archive: {member: a/b/worker}}\n", "worker"},
		{"  install: {from: dist/worker.gz, archive: {}}\n", "worker"},
		{"  install: {from: \"https://example.com/worker?v=1\", sha256: " + strings.Repeat("0a", 32) + "}\n", "worker"},
	}
	for _, tt := range tests {
		m, err := parseSpec(t, tt.text)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		if m.Spec.Binary != tt.want {
			t.Errorf("%s: it is called %q, want %q", tt.text, m.Spec.Binary, tt.want)
		}
	}
}

func TestResolveInstalls(t *testing.T) {
	m, err := parseSpec(t, "  build: {command: [make], inputs: [a], output: dist/worker}\n")
	if err != nil {
		t.Fatal(err)
	}
	program := &Program{Digest: "sha256:" + strings.Repeat("ab", 32), Size: 3, Build: "sha256:in", Open: func() (io.ReadSeekCloser, error) { return nil, errors.ErrUnsupported }}
	find := func(*Manifest, string) (*Program, error) { return program, nil }
	tests := []struct {
		name          string
		o             ResolveOptions
		binary        string
		digest, build string
	}{
		{"on a host that is known", ResolveOptions{Program: find, ProgramDir: "/var/lib/reconciler/bin"}, "/var/lib/reconciler/bin/" + strings.Repeat("ab", 32) + "/worker", program.Digest, "sha256:in"},
		{"on one that isn't", ResolveOptions{Program: find}, "worker", program.Digest, "sha256:in"},
		{"for a check", ResolveOptions{}, "worker", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ds, err := Resolve([]Manifest{m}, tt.o)
			if err != nil {
				t.Fatal(err)
			}
			got := ds[0].Spec
			if diff := cmp.Diff([]string{tt.binary, tt.digest, tt.build}, []string{got.Binary, got.Install.Digest, got.Build.Digest}); diff != "" {
				t.Errorf("binary, install.digest and build.digest, -want +got:\n%s", diff)
			}
		})
	}
	failed := func(*Manifest, string) (*Program, error) { return nil, errors.New("exit status 2") }
	if _, err := Resolve([]Manifest{m}, ResolveOptions{Program: failed}); err == nil || !strings.Contains(err.Error(), "spec.build: exit status 2") {
		t.Errorf("a build that failed: %v", err)
	}
	if m.Spec.Install.Digest != "" {
		t.Error("the manifest was changed")
	}
}

func TestDiffOfPrograms(t *testing.T) {
	m, err := parseSpec(t, "  install: {from: dist/worker}\n")
	if err != nil {
		t.Fatal(err)
	}
	with := func(digest string) *Daemon {
		o := ResolveOptions{ProgramDir: "/bin", Program: func(*Manifest, string) (*Program, error) { return &Program{Digest: digest}, nil }}
		ds, err := Resolve([]Manifest{m}, o)
		if err != nil {
			t.Fatal(err)
		}
		return ds[0]
	}
	before := with("sha256:aaaa")
	got := Diff(Stamp{Metadata: before.Metadata, Spec: before.Spec}, with("sha256:bbbb"))
	if diff := cmp.Diff([]Change{{"spec.install.digest", "sha256:aaaa", "sha256:bbbb", Restarted}}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestDiffSaysWhyAProgramHasToBeBuilt(t *testing.T) {
	m, err := parseSpec(t, "  build: {command: [make], inputs: [a], output: dist/worker}\n")
	if err != nil {
		t.Fatal(err)
	}
	resolve := func(p Program) *Daemon {
		ds, err := Resolve([]Manifest{m}, ResolveOptions{Program: func(*Manifest, string) (*Program, error) { return &p, nil }})
		if err != nil {
			t.Fatal(err)
		}
		return ds[0]
	}
	before := resolve(Program{Digest: "sha256:aaaa", Build: "sha256:1"})
	got := Diff(Stamp{Metadata: before.Metadata, Spec: before.Spec}, resolve(Program{Build: "sha256:2", Stale: "main.go changed"}))
	want := []Change{{"spec.build.digest", "sha256:1", "sha256:2", Live}, {"spec.install.digest", "sha256:aaaa", "rebuild: main.go changed", Restarted}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestParseSocket(t *testing.T) {
	for text, want := range map[string]Socket{
		"tcp://0.0.0.0:8080": {"tcp", "0.0.0.0:8080"}, "tcp://:80": {"tcp", ":80"}, "tcp://[::1]:80": {"tcp", "[::1]:80"}, "unix:///run/x.sock": {"unix", "/run/x.sock"},
	} {
		if got, err := ParseSocket(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}

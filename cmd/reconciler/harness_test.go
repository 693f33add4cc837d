package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"reconciler.dev/reconciler/internal/doctor"
	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/internal/sshconfig"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/drivers/driverstest"
	"reconciler.dev/reconciler/pkg/reconcile"
	"reconciler.dev/reconciler/pkg/remote"
	"reconciler.dev/reconciler/pkg/remote/link"
	"reconciler.dev/reconciler/pkg/remote/targets"
	"reconciler.dev/reconciler/pkg/spec"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing")

// desk is a person at a machine that exists only in memory: it types commands, and a transcript grows.
type desk struct {
	t      *testing.T
	host   *driverstest.Host
	far    map[string]*driverstest.Far // other machines, by what --host and manifests call them
	keeps  map[string]string           // what says of them that two are one
	env    map[string]string
	stdin  string
	facts  doctor.Facts // what doctor gathers
	boot   *fakeBoot
	looks  chan os.Signal    // has a run look at everything
	keys   map[string]string // of hosts, by their addresses
	says   []string          // what is answered to questions, one after the other; none where nobody is at the terminal
	script bytes.Buffer
}

// newDesk returns a desk whose current directory holds a copy of testdata/shop.
func newDesk(t *testing.T) *desk {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "shop"))); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	return &desk{t: t, boot: new(fakeBoot), host: driverstest.NewHost(), env: map[string]string{"PATH": "/usr/bin:/bin", "SUDO_USER": "ann"}}
}

// cli is one invocation, as by another process: it has a host value of its own.
func (d *desk) cli(stdout, stderr io.Writer) *cli {
	env := maps.Clone(d.env)
	return &cli{
		boot:   d.boot,
		gather: func(layout.Dirs) doctor.Facts { return d.facts },
		in:     strings.NewReader(d.stdin), out: stdout, err: stderr, getenv: func(k string) string { return env[k] },
		ways:    func(declared []targets.Host) (*targets.Resolver, error) { return waysOf(declared), nil },
		connect: d.connect, journal: func(*cli) (journal, error) { return d.host.Reopen(), nil }, scan: d.scan, person: d.person, looks: func() (<-chan os.Signal, func()) { return d.looks, func() {} },
	}
}

// call asks an agent for what a host doesn't know.
func (d *desk) call(_ context.Context, method string, params, result any) error {
	switch all := result.(type) {
	case *[]string:
		for i, l := range params.([]logged) {
			(*all)[i] = "/there/" + l.Stamp.Name + ".log"
		}
	case *doctor.Facts:
		*all = d.facts
		for _, w := range params.([]*spec.Daemon) {
			all.Daemons = append(all.Daemons, doctor.Daemon{Name: w.Name, Source: w.Source, UserErr: "there is no user " + w.Spec.User})
		}
	default:
		return fmt.Errorf("answer %q: %w", method, drivers.ErrUnsupported)
	}
	return nil
}

func (d *desk) scan(_ context.Context, _ *cli, t link.Target) (key, fingerprint string, err error) {
	key, there := d.keys[t.Address]
	if !there {
		return "", "", fmt.Errorf("reach host %s: no route to host: %w", t.Address, drivers.ErrUnreachable)
	}
	return key, "ssh-ed25519 SHA256:" + t.Address, nil
}

// person is at the terminal where there is something left to say.
func (d *desk) person() asker {
	if len(d.says) == 0 {
		return nil
	}
	return d
}

func (d *desk) secret(context.Context, string) (string, error) {
	said := d.says[0]
	d.says = d.says[1:]
	return said, nil
}

func (d *desk) confirm(ctx context.Context, question string) (bool, error) {
	said, err := d.secret(ctx, question)
	fmt.Fprintf(&d.script, "%s %s\n", question, said)
	return said == "yes", err
}

// connect opens a host as another process would.
func (d *desk) connect(ctx context.Context, c *cli, _ *inventory, at string, o reconcile.Options) (*session, error) {
	o.Tool = "test"
	s := &session{prepare: func() error { return nil }}
	var err error
	switch f := d.far[at]; {
	case at == "":
		s.host = d.host.Reopen()
		s.dirs, err = c.dirs()
	case f == nil:
		err = fmt.Errorf("reach host %s: there is no such host: %w", at, drivers.ErrUnreachable)
	default:
		s.host, err = f.Dial(ctx)
		s.facts, s.call = remote.Facts{OS: "linux", Arch: "arm64", User: "ops", Version: "v1.2.3", Keeps: d.keeps[at]}, d.call
	}
	if err != nil {
		return nil, err
	}
	s.engine = reconcile.New(s.host, o)
	return s, nil
}

// waysOf are the ways to hosts where ssh's configuration is empty and this machine is called desk.
func waysOf(declared []targets.Host) *targets.Resolver {
	return targets.New(targets.Options{
		Hosts: declared, Context: sshconfig.Context{User: "ann", UID: "1000", Home: "/home/ann", HostName: "desk"}, Machine: targets.Machine{Names: []string{"desk"}},
		Config: func() (*sshconfig.Config, error) { return new(sshconfig.Config), nil },
	})
}

// run types a command line and returns what came of it; the transcript has it too.
func (d *desk) run(args ...string) (code int, stdout, stderr string) {
	d.t.Helper()
	var out, err bytes.Buffer
	code = d.cli(&out, &err).main(context.Background(), append([]string{"--state-dir=/state"}, args...))
	fmt.Fprintf(&d.script, "$ reconciler %s\n%s", strings.Join(args, " "), out.Bytes())
	for line := range strings.Lines(err.String()) {
		fmt.Fprintf(&d.script, "! %s", line)
	}
	if code != 0 {
		fmt.Fprintf(&d.script, "[exit %d]\n", code)
	}
	return code, out.String(), err.String()
}

// must is run for a command that has to end with code.
func (d *desk) must(code int, args ...string) (stdout, stderr string) {
	d.t.Helper()
	got, stdout, stderr := d.run(args...)
	if got != code {
		d.t.Fatalf("reconciler %s: exit %d, want %d\n%s%s", strings.Join(args, " "), got, code, stdout, stderr)
	}
	return stdout, stderr
}

// edit replaces old by new in a file, which has to hold it.
func (d *desk) edit(file, old, new string) {
	d.t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		d.t.Fatal(err)
	}
	if !strings.Contains(string(b), old) {
		d.t.Fatalf("%s has no %q to replace", file, old)
	}
	fmt.Fprintf(&d.script, "# %s: %s -> %s\n", file, old, new)
	d.write(file, strings.Replace(string(b), old, new, 1))
}

func (d *desk) write(file, text string) {
	d.t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		d.t.Fatal(err)
	}
}

// note puts a remark into the transcript.
func (d *desk) note(text string) { fmt.Fprintf(&d.script, "# %s\n", text) }

var digests = regexp.MustCompile(`sha256:[0-9a-f]{64}`)

// golden compares the transcript with the one that is kept in root/testdata.
func (d *desk) golden(root, name string) {
	d.t.Helper()
	text := digests.ReplaceAllString(d.script.String(), "sha256:...")
	text = strings.ReplaceAll(text, mustGetwd(d.t), "/cwd")
	if self, err := os.Executable(); err == nil {
		text = strings.ReplaceAll(text, self, "/bin/reconciler")
	}
	checkGolden(d.t, root, name, text)
}

func mustGetwd(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func checkGolden(t *testing.T, root, name, text string) {
	t.Helper()
	file := filepath.Join(root, "testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text); diff != "" {
		t.Errorf("%s (go test -update writes it anew):\n%s", file, diff)
	}
}

// newBubbleHost is a machine that a synctest bubble owns. Checks of health pass.
func newBubbleHost() *driverstest.Host { return driverstest.NewHost() }

package remote

import (
	"crypto/rand"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"reconciler.dev/reconciler/test/labhost"
	"reconciler.dev/reconciler/test/sshlab"
)

// site is hosts that are shared, and how any administrator reaches them.
type site struct {
	hosts  []*labhost.Host
	home   *sshlab.Home
	beside []string // see labhost.Host
	// emulated says that the hosts have a kernel that is emulated, and are as slow.
	emulated bool
}

// newSite boots n hosts that have the witness and binds, and lets the administrator in as root and as users.
func newSite(t *testing.T, n int, kind labhost.Kind, users []string, binds ...labhost.Bind) *site {
	t.Helper()
	home, err := sshlab.NewHome(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	binds = append(binds, labhost.Bind{From: witness(t), To: witnessAt})
	s := &site{hosts: labhost.StartAll(t, n, kind, binds...), home: home}
	s.beside = s.hosts[0].Beside()
	each(t, s.hosts, func(h *labhost.Host) error { return home.Enroll(t.Context(), h, users...) })
	return s
}

// each does something with all hosts at the same time.
func each(t *testing.T, hosts []*labhost.Host, do func(h *labhost.Host) error) {
	t.Helper()
	errs := make(chan error)
	for _, h := range hosts {
		go func() { errs <- do(h) }()
	}
	for range hosts {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

// office is where an administrator works: a machine beside the hosts, which reaches them over SSH and in no other way.
type office struct {
	t      testing.TB
	home   *sshlab.Home
	dir    string // what the administrator has there
	beside []string
	// set is the owner set, and what the names of all daemons end in: others work on the same hosts.
	set string
	// env is more of the environment.
	env []string

	daemons []*daemon
}

// newOffice is a new administrator's, with a copy of the files in .ssh. At the end of the test nothing of the administrator's runs on any host.
func (s *site) newOffice(t testing.TB) *office {
	t.Helper()
	home, err := s.newHome(t)
	if err != nil {
		t.Fatal(err)
	}
	o := &office{t: t, home: home, dir: t.TempDir(), beside: s.beside, set: strings.ToLower(rand.Text()[:8])}
	t.Cleanup(o.close)
	return o
}

// newHome is a copy of the home that knows all hosts. A link is given up after three seconds in which nothing came, and one to a host that is slow as late as by default.
func (s *site) newHome(t testing.TB) (*sshlab.Home, error) {
	home, err := s.home.Copy(t.TempDir())
	if err != nil {
		return nil, err
	}
	if s.emulated {
		return home, nil
	}
	return home, home.Configure("Host *", "  ServerAliveInterval 1", "  ServerAliveCountMax 3", "  ConnectTimeout 10")
}

// close deletes what the administrator had on the hosts.
func (o *office) close() {
	for _, d := range o.daemons {
		if len(d.copies()) == 0 && !d.known() {
			continue
		}
		if p := o.run("delete", "--now", "--force", "--host", d.at, d.name); p.cmd.ProcessState.ExitCode() != 0 {
			o.t.Errorf("%s on %s can't be deleted:\n%v", d.name, d.host.Name, p)
		}
		for _, left := range d.copies() {
			o.t.Errorf("left of %s on %s after it was deleted: %v", d.name, d.host.Name, left)
		}
	}
}

// start starts reconciler as the administrator does.
func (o *office) start(args ...string) *program {
	o.t.Helper()
	return o.startWith("", args...)
}

// startWith starts reconciler with something on its stdin.
func (o *office) startWith(stdin string, args ...string) *program {
	o.t.Helper()
	switch args[0] {
	case "apply", "run", "diff", "plan":
		args = append([]string{args[0], "--set=" + o.set}, args[1:]...)
	}
	words := append(append(append([]string{}, o.beside...), reconciler(o.t)), args...)
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Dir = o.dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + o.home.Dir, "RECONCILER_STATE_DIR=" + filepath.Join(o.dir, "state"), "RECONCILER_DRIVERS=process", "LC_ALL=C"}, o.env...)
	cmd.Stdin = strings.NewReader(stdin)
	return start(o.t, cmd, args)
}

// run runs reconciler to its end.
func (o *office) run(args ...string) *program {
	o.t.Helper()
	p := o.start(args...)
	p.wait()
	return p
}

// ok runs a command that has to succeed.
func (o *office) ok(args ...string) *program {
	o.t.Helper()
	return o.exits(0, args...)
}

// exits runs a command that has to exit with code.
func (o *office) exits(code int, args ...string) *program {
	o.t.Helper()
	p := o.run(args...)
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		o.t.Fatalf("exit %d, want %d:\n%v", got, code, p)
	}
	return p
}

// keep starts a run of all that is declared, which lives until the test ends it, or ends.
func (o *office) keep(args ...string) *program {
	o.t.Helper()
	return o.start(append([]string{"run", "-f", o.manifests()}, args...)...)
}

// manifests is the folder of what is declared.
func (o *office) manifests() string { return filepath.Join(o.dir, "manifests") }

// write writes a file of the folder as an editor does: a new one, which is renamed.
func (o *office) write(name, text string) {
	o.t.Helper()
	o.writeIn(o.manifests(), name, text)
}

// writeIn is write for another folder.
func (o *office) writeIn(folder, name, text string) {
	o.t.Helper()
	path := filepath.Join(folder, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		o.t.Fatal(err)
	}
	if err := os.WriteFile(path+".new~", []byte(text), 0o644); err != nil {
		o.t.Fatal(err)
	}
	if err := os.Rename(path+".new~", path); err != nil {
		o.t.Fatal(err)
	}
}

// remove removes a file of the folder.
func (o *office) remove(name string) {
	o.t.Helper()
	if err := os.Remove(filepath.Join(o.manifests(), name)); err != nil {
		o.t.Fatal(err)
	}
}

// state is what get says of a daemon, and what these tests look at.
type state struct {
	Metadata struct{ Name string }
	Status   struct {
		Phase, Driver string
		PID, Restarts int
		Conditions    []struct{ Type, Status, Reason, Message string }
	}
}

// is returns the status of a condition.
func (s state) is(condition string) string {
	for _, c := range s.Status.Conditions {
		if c.Type == condition {
			return c.Status
		}
	}
	return ""
}

// get returns what get says of the daemons of a host, by name.
func (o *office) get(host string) map[string]state {
	o.t.Helper()
	p := o.ok("get", "--host", host, "-o", "json")
	var list struct{ Items []state }
	if err := json.Unmarshal([]byte(p.stdout()), &list); err != nil {
		o.t.Fatalf("get -o json: %v:\n%v", err, p)
	}
	all := map[string]state{}
	for _, s := range list.Items {
		all[s.Metadata.Name] = s
	}
	return all
}

package remote

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"reconciler.dev/reconciler/test/labhost"
	"reconciler.dev/reconciler/test/sshlab"
)

// TestAccounts is about ways to be let in, and what one may do there then.
func TestAccounts(t *testing.T) {
	s := newSite(t, 2, labhost.SystemdUser, []string{"alice"})
	far, bastion := s.hosts[0], s.hosts[1]
	each(t, s.hosts, func(h *labhost.Host) error { // where witnesses of both may testify
		return errors.Join(h.Put(testifies+"/readme", nil, 0o644), h.Command(t.Context(), "chmod", "1777", testifies).Run())
	})
	for _, tt := range []struct {
		name string
		test func(*testing.T, *office, *labhost.Host, *labhost.Host)
	}{
		{"systemctl --user", testUser},
		{"sudo", testSudo},
		{"a bastion", testBastion},
		{"a certificate", testCertificate},
		{"a forced command", testForcedCommand},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, s.newOffice(t), far, bastion) })
	}
}

// declareHost writes a Host document for a host, with more lines of its spec, among the administrator's hosts.
func (o *office) declareHost(name string, h *labhost.Host, lines ...string) {
	o.t.Helper()
	o.writeIn(filepath.Join(o.dir, "state", "hosts.d"), name+".yaml", fmt.Sprintf("apiVersion: reconciler.dev/v1\nkind: Host\nmetadata: {name: %s}\nspec:\n  address: %s\n  %s\n", name, h.Addr, strings.Join(lines, "\n  ")))
}

// keeps applies a daemon on a host that is called name, and shows that it is kept there by the account with that number: started once, looked at, healed, read and deleted.
func (o *office) keeps(name string, h *labhost.Host, user int, driver string) {
	o.t.Helper()
	d := o.daemon(h, "web", driver)
	d.at = name
	d.declare()
	o.ok("apply", "--wait", "-f", o.manifests()).said("daemon/" + d.name + " created")
	d.becomesWhatIsDeclared(0)
	if c := d.copies(); len(c) != 1 || c[0].User != user {
		o.t.Errorf("it is %v, want a process of user %d", c, user)
	}
	o.ok("apply", "-f", o.manifests()).said("daemon/" + d.name + " unchanged")
	if driver == "process" {
		d.kill()
		o.ok("apply", "--wait", "-f", o.manifests()).said("daemon/" + d.name + " healed")
	}
	o.ok("logs", "--host", name, d.name).said("is up")
	d.isOnce(-1)
	o.ok("delete", "-f", o.manifests())
	o.remove(d.file())
	if c := d.copies(); len(c) > 0 {
		o.t.Errorf("deleted, and there: %v", c)
	}
	eventually(o.t, "no agent is left on "+h.Name, func() bool { return len(processes(o, h, isAgent)) == 0 })
}

// testUser is alice, who lingers: systemd starts her daemons at boot, and restarts them, without root's doing.
func testUser(t *testing.T, o *office, far, _ *labhost.Host) {
	if out, err := far.Command(t.Context(), "journalctl", "--flush").CombinedOutput(); err != nil { // to the disk, where users have journals of their own
		t.Fatalf("%v: %s", err, out)
	}
	o.declareHost("hers", far, "user: alice")
	o.keeps("hers", far, 1000, "systemd")
	o.keeps("hers", far, 1000, "process")

	d := o.daemon(far, "boots", "")
	d.at = "hers"
	d.declare()
	o.ok("apply", "--wait", "-f", o.manifests())
	before := d.becomesWhatIsDeclared(0)
	if err := far.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.becomes(before)
	o.ok("apply", "--wait", "-f", o.manifests()).said("daemon/" + d.name + " unchanged")
	d.isOnce(2)
	if _, err := far.Get("/etc/systemd/system/" + d.name + ".service"); err == nil {
		t.Error("it is a unit of root's")
	}
	o.ok("delete", "-f", o.manifests())
}

// testSudo is alice, who is root by the one line that she is told to add.
func testSudo(t *testing.T, o *office, far, _ *labhost.Host) {
	o.declareHost("root-by-sudo", far, "user: alice", "sudo: true")
	d := o.daemon(far, "refused", "process")
	d.at = "root-by-sudo"
	d.declare()
	refused := o.run("apply", "-f", o.manifests())
	if refused.wait() == 0 {
		t.Fatalf("it isn't refused:\n%v", refused)
	}
	line := regexp.MustCompile(`alice ALL=\(root\) NOPASSWD: \S+ agent`).FindString(refused.out.String())
	if line == "" {
		t.Fatalf("it doesn't say which line to add:\n%v", refused)
	}
	if err := far.Put("/etc/sudoers.d/reconciler", []byte(line+"\n"), 0o440); err != nil {
		t.Fatal(err)
	}
	o.remove(d.file())
	o.keeps("root-by-sudo", far, 0, "systemd")
}

// testBastion is a host that lets in only those who come from another one.
func testBastion(t *testing.T, o *office, far, bastion *labhost.Host) {
	if err := sshlab.Sshd(t.Context(), far, "20-bastion", "AllowUsers *@"+bastion.Addr); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sshlab.Sshd(context.WithoutCancel(t.Context()), far, "20-bastion"); err != nil {
			t.Error(err)
		}
	})
	d := o.daemon(far, "direct", "process")
	d.declare()
	if p := o.run("apply", "-f", o.manifests()); p.wait() == 0 {
		t.Errorf("it was let in:\n%v", p)
	}
	o.remove(d.file())

	o.declareHost("inside", far, "proxyJump: "+bastion.Name)
	o.keeps("inside", far, 0, "systemd")
	if err := o.home.Configure("Host behind", "  HostName "+far.Addr, "  User root", "  ProxyJump alice@"+bastion.Addr); err != nil {
		t.Fatal(err)
	}
	o.keeps("behind", far, 0, "systemd")
	if c := processes(o, bastion, isAgent); len(c) > 0 {
		t.Errorf("the bastion has agents: %v", c)
	}
}

// testCertificate is a host that knows no keys, only who certifies them.
func testCertificate(t *testing.T, o *office, far, _ *labhost.Host) {
	authority, err := sshlab.NewKey("")
	if err != nil {
		t.Fatal(err)
	}
	mine, err := sshlab.NewKey("")
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := authority.Certify(mine, "root")
	if err == nil {
		err = errors.Join(mine.Write(o.home.Path("id_ed25519")), os.WriteFile(o.home.Path("id_ed25519-cert.pub"), certificate, 0o644),
			far.Put("/etc/ssh/authority.pub", []byte(authority.Line()+"\n"), 0o644), sshlab.Sshd(t.Context(), far, "20-authority", "TrustedUserCAKeys /etc/ssh/authority.pub"))
	}
	if err != nil {
		t.Fatal(err)
	}
	o.keeps(far.Name, far, 0, "systemd")
	if err := os.Remove(o.home.Path("id_ed25519-cert.pub")); err != nil {
		t.Fatal(err)
	}
	d := o.daemon(far, "uncertified", "process").declare()
	refused := o.run("apply", "-f", o.manifests())
	if refused.wait() == 0 {
		t.Errorf("it was let in without the certificate:\n%v", refused)
	}
	o.remove(d.file())
}

// testForcedCommand is a strict site: the key runs the agent that somebody installed, and nothing else, whatever is asked for.
func testForcedCommand(t *testing.T, o *office, far, _ *labhost.Host) {
	program, err := os.ReadFile(reconciler(t))
	if err != nil {
		t.Fatal(err)
	}
	mine, err := sshlab.NewKey("")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(
		far.Put("/usr/local/bin/reconciler", program, 0o755), mine.Write(o.home.Path("id_ed25519")),
		sshlab.Authorize(t.Context(), far, "root", `restrict,command="/usr/local/bin/reconciler agent" `+mine.Line()),
	); err != nil {
		t.Fatal(err)
	}
	o.declareHost("strict", far, "agent: {install: never, path: /usr/local/bin/reconciler}")
	o.keeps("strict", far, 0, "systemd")
}

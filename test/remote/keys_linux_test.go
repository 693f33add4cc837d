package remote

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/crypto/ssh"

	"reconciler.dev/reconciler/test/labhost"
	"reconciler.dev/reconciler/test/sshlab"
)

// testKeys is about keys that aren't those expected. Each is refused, says what was found and what to do, and touches nothing; with the right keys all goes on.
func testKeys(t *testing.T, s *site) {
	host := s.hosts[len(s.hosts)-1]
	other, err := sshlab.NewKey("")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name         string
		wrong, right func(o *office) error
		says         []string
	}{
		{
			name:  "the administrator's key isn't the one that is let in",
			wrong: func(*office) error { return sshlab.Authorize(t.Context(), host, "root", other.Line()) },
			right: func(*office) error { return sshlab.Authorize(t.Context(), host, "root", s.home.Key.Line()) },
			says:  []string{host.Name, "root", ssh.FingerprintSHA256(s.home.Key.PublicKey())},
		},
		{
			name:  "the host has another key than before",
			wrong: func(*office) error { return sshlab.Rekey(t.Context(), host, other) },
			right: func(*office) error { return sshlab.Rekey(t.Context(), host, s.home.HostKey(host.Name)) },
			says:  []string{host.Name, ssh.FingerprintSHA256(s.home.HostKey(host.Name).PublicKey()), ssh.FingerprintSHA256(other.PublicKey())},
		},
		{
			name:  "the host's key was revoked",
			wrong: func(o *office) error { return o.home.Revoke(s.home.HostKey(host.Name)) },
			right: func(o *office) error {
				text, err := os.ReadFile(s.home.Path("known_hosts"))
				return errors.Join(err, os.WriteFile(o.home.Path("known_hosts"), text, 0o600))
			},
			says: []string{host.Name, "revoked", ssh.FingerprintSHA256(s.home.HostKey(host.Name).PublicKey())},
		},
	} {
		t.Run(tt.name, func(t *testing.T) { testKey(t, s.newOffice(t), host, tt.wrong, tt.right, tt.says) })
	}
}

func testKey(t *testing.T, o *office, host *labhost.Host, wrong, right func(*office) error, says []string) {
	loop, unit := o.daemon(host, "loop", "process").declare(), o.daemon(host, "unit", "systemd").declare()
	o.ok("apply", "--wait", "-f", o.manifests())
	loop.change(1)
	unit.change(1)
	run := o.keep()
	first := map[*daemon]int{loop: loop.becomesWhatIsDeclared(0), unit: unit.becomesWhatIsDeclared(0)}

	if err := wrong(o); err != nil {
		t.Fatal(err)
	}
	killAll(t, host, isSession) // and so the link of the run
	first[loop] = loop.kill()
	refused := o.run("apply", "--set=other", "-f", o.manifests())
	if refused.wait() == 0 {
		t.Errorf("it isn't refused:\n%v", refused)
	}
	refused.said(says...)
	run.says(says[len(says)-1])
	if c := loop.copies(); len(c) > 0 {
		t.Errorf("the daemon was started again all the same: %v", c)
	}

	if err := right(o); err != nil {
		t.Fatal(err)
	}
	if run.hasEnded() {
		t.Fatalf("the run has ended:\n%v", run)
	}
	loop.becomes(first[loop])
	run.interrupt()
	o.ok("apply", "-f", o.manifests()).said("daemon/"+loop.name+" unchanged", "daemon/"+unit.name+" unchanged")
	loop.isOnce(3)
	unit.isOnce(2)
}

package link_test

import (
	"testing"

	"golang.org/x/crypto/ssh"

	"reconciler.dev/reconciler/pkg/remote/link"
)

func TestExitErrorSaysHowTheCommandEnded(t *testing.T) {
	for _, c := range []struct {
		end  link.ExitError
		want string
	}{
		{link.ExitError{Status: 127}, "the command exited with status 127"},
		{link.ExitError{Status: -1, Signal: "TERM"}, "the command was ended by signal TERM"},
		{link.ExitError{Status: -1}, "the command ended, and the host didn't say how"},
	} {
		if got := c.end.Error(); got != c.want {
			t.Errorf("%+v: %q, want %q", c.end, got, c.want)
		}
	}
}

func TestTargetIsCalledByItsNameOrItsAddress(t *testing.T) {
	if got := (link.Target{Name: "gpu-1", Address: "192.0.2.1"}).String(); got != "gpu-1" {
		t.Errorf("got %s", got)
	}
	if got := (link.Target{Address: "192.0.2.1"}).String(); got != "192.0.2.1" {
		t.Errorf("got %s", got)
	}
}

func TestFingerprintIsThatOfSSHKeygen(t *testing.T) {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl github.com"))
	if err != nil {
		t.Fatal(err)
	}
	const want = "ssh-ed25519 SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"
	if got := link.Fingerprint(key); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := link.Fingerprint(&ssh.Certificate{Key: key}); got != want {
		t.Errorf("of its certificate: got %s, want %s", got, want)
	}
}

package sshlab

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"reconciler.dev/reconciler/test/labhost"
)

func TestMain(m *testing.M) { labhost.Main(m) }

func newHome(t *testing.T) *Home {
	t.Helper()
	h, err := NewHome(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// ssh runs OpenSSH's own client as the administrator, who is never asked anything.
func (h *Home) ssh(ctx context.Context, beside interface{ Beside() []string }, args ...string) *exec.Cmd {
	words := append(beside.Beside(), append([]string{"ssh", "-F", h.Path("config"), "-o", "BatchMode=yes", "-o", "GlobalKnownHostsFile=none",
		"-o", "UserKnownHostsFile=" + h.Path("known_hosts"), "-i", h.Path("id_ed25519"), "-o", "IdentitiesOnly=yes"}, args...)...)
	return exec.CommandContext(ctx, words[0], words[1:]...)
}

// OpenSSH's client and a plain Go program log in to enrolled hosts, as root and as alice, and each host has another key.
func TestEnroll(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	hosts := labhost.StartAll(t, 2, labhost.SystemdUser)
	var all sync.WaitGroup
	for _, host := range hosts {
		all.Go(func() {
			if err := h.Enroll(t.Context(), host, "alice"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, host := range hosts {
		for login, want := range map[string]string{host.Name: "root", "alice@" + host.Name: "alice"} {
			out, err := h.ssh(t.Context(), host, login, "id -un; hostname").CombinedOutput()
			if err != nil || string(out) != want+"\n"+host.Name+"\n" {
				t.Errorf("ssh %s: %v: %s", login, err, out)
			}
		}
		raw, err := host.Dial(t.Context(), "tcp", host.Addr+":22")
		if err != nil {
			t.Fatal(err)
		}
		conn, chans, reqs, err := ssh.NewClientConn(raw, host.Addr+":22", h.Client(host.Name, "alice"))
		if err != nil {
			t.Fatal(err)
		}
		client := ssh.NewClient(conn, chans, reqs)
		session, err := client.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		if out, err := session.CombinedOutput("id -un"); err != nil || string(out) != "alice\n" {
			t.Errorf("a Go program is %q: %v", out, err)
		}
		client.Close()
	}
	if a, b := h.HostKey(hosts[0].Name).Line(), h.HostKey(hosts[1].Name).Line(); a == b {
		t.Errorf("both hosts have %s", a)
	}
}

// What is to be refused is, by OpenSSH itself: another key of the host, and another of the administrator.
func TestRefusals(t *testing.T) {
	t.Parallel()
	h, host := newHome(t), labhost.Start(t, labhost.Systemd)
	if err := h.Enroll(t.Context(), host); err != nil {
		t.Fatal(err)
	}
	refused := func(says string) {
		t.Helper()
		if out, err := h.ssh(t.Context(), host, host.Name, "true").CombinedOutput(); err == nil || !strings.Contains(string(out), says) {
			t.Errorf("it isn't refused with %q: %v: %s", says, err, out)
		}
	}
	other, err := NewKey("")
	if err != nil {
		t.Fatal(err)
	}
	if err := Authorize(t.Context(), host, "root", other.Line()); err != nil {
		t.Fatal(err)
	}
	refused("Permission denied")

	ca, err := NewKey("")
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Put("/etc/ssh/ca.pub", []byte(ca.Line()+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Sshd(t.Context(), host, "20-ca", "TrustedUserCAKeys /etc/ssh/ca.pub"); err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"alice", "root"} {
		certificate, err := ca.Certify(h.Key, user)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(h.Path("id_ed25519-cert.pub"), certificate, 0o644); err != nil {
			t.Fatal(err)
		}
		if user == "alice" { // who is not who logs in
			refused("Permission denied")
		}
	}
	if out, err := h.ssh(t.Context(), host, host.Name, "true").CombinedOutput(); err != nil {
		t.Errorf("the certificate doesn't let in: %v: %s", err, out)
	}

	if err := Rekey(t.Context(), host, other); err != nil {
		t.Fatal(err)
	}
	refused("REMOTE HOST IDENTIFICATION HAS CHANGED")
}

// An encrypted key is one that OpenSSH can read with the passphrase, and not without.
func TestPassphrase(t *testing.T) {
	t.Parallel()
	key, err := NewKey("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	path := t.TempDir() + "/key"
	if err := key.Write(path); err != nil {
		t.Fatal(err)
	}
	for passphrase, good := range map[string]bool{"correct horse": true, "": false, "battery": false} {
		out, err := exec.CommandContext(t.Context(), "ssh-keygen", "-y", "-P", passphrase, "-f", path).Output()
		if good && (err != nil || !bytes.HasPrefix(out, []byte(key.Line()))) {
			t.Errorf("ssh-keygen reads %q: %v", out, err)
		}
		if !good && err == nil {
			t.Errorf("ssh-keygen reads it with the passphrase %q", passphrase)
		}
	}
}

// A machine with a clock and a network card of its own.
func TestServer(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	files, enroll, err := h.Server("off")
	if err != nil {
		t.Fatal(err)
	}
	s := labhost.StartServer(t, labhost.ServerOptions{Clock: time.Hour, Netem: "delay 40ms", Files: files})
	if err := enroll(s); err != nil {
		t.Fatal(err)
	}
	out, err := h.ssh(t.Context(), s, "off", "date +%s; systemctl is-active ssh.service; ip -o link show vec0").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	lines := strings.Split(string(out), "\n")
	seconds, err := strconv.ParseInt(lines[0], 10, 64)
	if ahead := time.Until(time.Unix(seconds, 0)); err != nil || ahead < 59*time.Minute || ahead > time.Hour+time.Second {
		t.Errorf("its clock is %s ahead: %s", ahead, out)
	}
	if lines[1] != "active" || !strings.Contains(lines[2], "netem") {
		t.Errorf("it says %s", out)
	}
}

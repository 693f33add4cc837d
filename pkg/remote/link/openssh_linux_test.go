package link_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"reconciler.dev/reconciler/pkg/remote/link"
	"reconciler.dev/reconciler/test/labhost"
)

// TestOpenSSH is what this package promises, shown with OpenSSH's own server, agent and keys.
func TestOpenSSH(t *testing.T) {
	labhost.Test(t, labhost.Systemd, func(t *testing.T) {
		tool(t, "usermod", "--password", "*", "alice") // without a password, and not locked
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
		for name, f := range map[string]func(*testing.T){
			"keys": sshKeys, "encrypted keys": sshEncryptedKeys, "certificates": sshCertificates, "agent": sshAgent, "jumps": sshJumps, "known hosts": sshKnownHosts,
			"host certificates": sshHostCertificates, "refusals": sshRefusals, "limits": sshLimits, "ends": sshEnds,
		} {
			t.Run(name, f)
		}
	})
}

func sshKeys(t *testing.T) {
	for _, args := range [][]string{
		{"-t", "ed25519"}, {"-t", "ecdsa"}, {"-t", "ecdsa", "-b", "521"}, {"-t", "rsa", "-b", "2048"}, {"-t", "rsa", "-b", "2048", "-m", "PEM"}, {"-t", "ecdsa", "-m", "PKCS8"},
	} {
		key := keygen(t, append(args, "-N", "")...)
		s := sshd(t, []string{key + ".pub"})
		for _, user := range []string{"root", "alice"} {
			target := s.target(t, key)
			target.User = user
			if got := output(t, dial(t, link.New(link.Options{}), target), "id -un"); got != user+"\n" {
				t.Errorf("%v: we are %q", args, got)
			}
		}
	}
}

func sshEncryptedKeys(t *testing.T) {
	for _, args := range [][]string{{"-t", "ed25519"}, {"-t", "rsa", "-b", "2048", "-m", "PEM"}} {
		key := keygen(t, append(args, "-N", "open sesame")...)
		s := sshd(t, []string{key + ".pub"})
		asked := 0
		d := link.New(link.Options{Ask: func(context.Context, string) (string, error) { asked++; return "open sesame", nil }})
		for range 2 {
			if got := output(t, dial(t, d, s.target(t, key)), "echo in"); got != "in\n" {
				t.Errorf("got %q", got)
			}
		}
		if asked != 1 {
			t.Errorf("%v: asked %d times", args, asked)
		}
	}
}

func sshCertificates(t *testing.T) {
	authority, key := keygen(t, "-t", "ed25519", "-N", ""), keygen(t, "-t", "rsa", "-b", "2048", "-N", "")
	s := sshd(t, nil, "TrustedUserCAKeys "+authority+".pub")
	_, err := link.New(link.Options{}).Dial(t.Context(), s.target(t, key))
	wants(t, err, hopeless, "takes none of")

	tool(t, "ssh-keygen", "-q", "-s", authority, "-I", "test", "-n", "root", key+".pub") // beside the key
	dial(t, link.New(link.Options{}), s.target(t, key))

	elsewhere := filepath.Join(t.TempDir(), "certificate")
	if err := os.Rename(key+"-cert.pub", elsewhere); err != nil {
		t.Fatal(err)
	}
	target := s.target(t, key)
	target.CertificateFiles = []string{elsewhere}
	dial(t, link.New(link.Options{}), target)

	target.User = "alice"
	_, err = link.New(link.Options{}).Dial(t.Context(), target)
	wants(t, err, hopeless, "as alice", elsewhere)
}

// agentWith starts an ssh-agent that holds those keys.
func agentWith(t *testing.T, keys ...string) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	cmd := exec.CommandContext(t.Context(), "ssh-agent", "-D", "-a", socket)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for {
		if conn, err := net.Dial("unix", socket); err == nil {
			conn.Close()
			break
		}
		if t.Context().Err() != nil {
			t.Fatal("the agent doesn't listen")
		}
		time.Sleep(time.Millisecond)
	}
	for _, key := range keys {
		tool(t, "env", "SSH_AUTH_SOCK="+socket, "ssh-add", "-q", key)
	}
	return socket
}

func sshAgent(t *testing.T) {
	for _, kind := range []string{"ed25519", "rsa", "ecdsa"} {
		key := keygen(t, "-t", kind, "-N", "")
		s := sshd(t, []string{key + ".pub"}, "AllowAgentForwarding yes")
		target := s.target(t)
		target.IdentityFiles, target.IdentityAgent = []string{}, ""
		socket := agentWith(t, key)
		d := link.New(link.Options{Getenv: func(name string) string { return map[string]string{"SSH_AUTH_SOCK": socket}[name] }})
		if got := output(t, dial(t, d, target), "echo $SSH_AUTH_SOCK"); got != "\n" {
			t.Errorf("the agent was forwarded: %q", got)
		}
		target.IdentityAgent = socket
		dial(t, link.New(link.Options{}), target)

		// A certificate that the agent holds.
		authority := keygen(t, "-t", "ed25519", "-N", "")
		tool(t, "ssh-keygen", "-q", "-s", authority, "-I", "test", "-n", "root", key+".pub")
		s = sshd(t, nil, "TrustedUserCAKeys "+authority+".pub")
		target = s.target(t)
		target.IdentityFiles, target.IdentityAgent = []string{}, agentWith(t, key) // ssh-add takes the certificate beside the key
		dial(t, link.New(link.Options{}), target)
	}
}

func sshJumps(t *testing.T) {
	outerKey, innerKey := keygen(t, "-t", "ed25519", "-N", ""), keygen(t, "-t", "ed25519", "-N", "")
	outer, inner := sshd(t, []string{outerKey + ".pub"}), sshd(t, []string{innerKey + ".pub"})
	target := inner.target(t, innerKey)
	target.Jumps = []link.Target{outer.target(t, outerKey)}
	c := dial(t, link.New(link.Options{}), target)
	if got := output(t, c, "echo $SSH_CONNECTION | cut -d' ' -f4"); got != strconv.Itoa(inner.port)+"\n" {
		t.Errorf("we are at port %q", got)
	}
	if _, fingerprint, err := link.New(link.Options{}).Scan(t.Context(), target); err != nil || fingerprint == "" {
		t.Error(err)
	}

	closed := sshd(t, []string{outerKey + ".pub"}, "AllowTcpForwarding no")
	target.Jumps = []link.Target{closed.target(t, outerKey)}
	_, err := link.New(link.Options{}).Dial(t.Context(), target)
	wants(t, err, hopeless, "AllowTcpForwarding")
	remote := sshd(t, []string{outerKey + ".pub"}, "AllowTcpForwarding remote")
	target.Jumps = []link.Target{remote.target(t, outerKey)}
	_, err = link.New(link.Options{}).Dial(t.Context(), target)
	wants(t, err, hopeless, "AllowTcpForwarding")
	local := sshd(t, []string{outerKey + ".pub"}, "AllowTcpForwarding local", "PermitOpen "+inner.address())
	target.Jumps = []link.Target{local.target(t, outerKey)}
	dial(t, link.New(link.Options{}), target)

	target.Jumps = []link.Target{outer.target(t, innerKey)}
	_, err = link.New(link.Options{}).Dial(t.Context(), target)
	wants(t, err, hopeless, "go to host real: log in to host real")
}

// sshKnownHosts: what ssh-keyscan and ssh write we read, and the other way round.
func sshKnownHosts(t *testing.T) {
	key := keygen(t, "-t", "ed25519", "-N", "")
	more := keygen(t, "-t", "rsa", "-b", "2048", "-N", "")
	s := sshd(t, []string{key + ".pub"}, "HostKey "+more)
	target := s.target(t, key)
	target.HostKey = ""
	for _, args := range [][]string{{"-t", "ed25519"}, {"-t", "rsa"}, {"-H", "-t", "rsa"}, {"-H", "-t", "ed25519,rsa"}} {
		out, err := exec.CommandContext(t.Context(), "ssh-keyscan", append(args, "-p", strconv.Itoa(s.port), "127.0.0.1")...).Output()
		if err != nil {
			t.Fatal(err)
		}
		target.KnownHostsFiles, target.StrictHostKeyChecking = []string{write(t, filepath.Join(t.TempDir(), "known_hosts"), string(out))}, "yes"
		dial(t, link.New(link.Options{}), target)
	}

	file := filepath.Join(t.TempDir(), "known_hosts")
	target.KnownHostsFiles, target.StrictHostKeyChecking = []string{file}, "accept-new"
	dial(t, link.New(link.Options{}), target)
	tool(t, "ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "UserKnownHostsFile="+file, "-i", key, "-p", strconv.Itoa(s.port), "root@127.0.0.1", "true")
	if out := tool(t, "ssh-keygen", "-l", "-F", "[127.0.0.1]:"+strconv.Itoa(s.port), "-f", file); !strings.Contains(out, "SHA256:") {
		t.Errorf("ssh-keygen finds %q", out)
	}
	// The remedy of the message is the right one.
	other := read(t, keygen(t, "-t", "ed25519", "-N", "")+".pub")
	write(t, file, "[127.0.0.1]:"+strconv.Itoa(s.port)+" "+other)
	_, err := link.New(link.Options{}).Dial(t.Context(), target)
	wants(t, err, hopeless, "ssh-keygen -R")
	_, remedy, _ := strings.Cut(err.Error(), "take the old one away: ")
	tool(t, "sh", "-c", remedy)
	dial(t, link.New(link.Options{}), target)

	_, fingerprint, err := link.New(link.Options{}).Scan(t.Context(), target)
	if want := strings.Fields(tool(t, "ssh-keygen", "-l", "-f", s.hostKey+".pub"))[1]; err != nil || fingerprint != "ssh-ed25519 "+want {
		t.Errorf("scanned %s, %v; ssh-keygen says %s", fingerprint, err, want)
	}
}

func sshHostCertificates(t *testing.T) {
	key, authority := keygen(t, "-t", "ed25519", "-N", ""), keygen(t, "-t", "ed25519", "-N", "")
	hostKey := keygen(t, "-t", "ed25519", "-N", "")
	tool(t, "ssh-keygen", "-q", "-s", authority, "-h", "-I", "host", "-n", "127.0.0.1,*.example", hostKey+".pub")
	s := sshd(t, []string{key + ".pub"}, "HostKey "+hostKey, "HostCertificate "+hostKey+"-cert.pub")
	target := s.target(t, key)
	target.HostKey, target.StrictHostKeyChecking = "", "yes"
	for names, good := range map[string]bool{
		"127.0.0.1": true, "[127.0.0.1]:" + strconv.Itoa(s.port): true, "*": true, "db": false,
	} {
		target.KnownHostsFiles = []string{write(t, filepath.Join(t.TempDir(), "known_hosts"), "@cert-authority "+names+" "+read(t, authority+".pub"))}
		c, err := link.New(link.Options{}).Dial(t.Context(), target)
		if (err == nil) != good {
			t.Errorf("an authority for %s: %v", names, err)
		}
		if err == nil {
			c.Close()
		}
	}
	target.HostKeyAlias = "other.test"
	target.KnownHostsFiles = []string{write(t, filepath.Join(t.TempDir(), "known_hosts"), "@cert-authority * "+read(t, authority+".pub"))}
	_, err := link.New(link.Options{}).Dial(t.Context(), target)
	wants(t, err, hopeless, "for the name other.test")
}

func sshRefusals(t *testing.T) {
	key, other := keygen(t, "-t", "ed25519", "-N", ""), keygen(t, "-t", "ed25519", "-N", "")
	for name, c := range map[string]struct {
		keys  []string
		lines []string
		says  []string
	}{
		"another key":      {[]string{other}, nil, []string{"log in to host real (127.0.0.1:", "as root", "takes none of ssh-ed25519 SHA256:", other, "authorized_keys"}},
		"a revoked key":    {[]string{key}, []string{"RevokedKeys " + key + ".pub"}, []string{"takes none of", key}},
		"passwords only":   {[]string{key}, []string{"PubkeyAuthentication no", "PasswordAuthentication yes"}, []string{"it takes no keys, only password"}},
		"and a password":   {[]string{key}, []string{"AuthenticationMethods publickey,password"}, []string{"it took a key and wants password as well"}},
		"too many keys":    {[]string{other, keygen(t, "-t", "ed25519", "-N", ""), key}, []string{"MaxAuthTries 2"}, []string{"takes none of", "Too many authentication failures", "IdentitiesOnly"}},
		"strange ciphers":  {[]string{key}, []string{"Ciphers aes256-cbc"}, []string{"no algorithm in common", "aes256-cbc"}},
		"users, not us":    {[]string{key}, []string{"AllowUsers alice"}, []string{"as root"}},
		"no login of root": {[]string{key}, []string{"PermitRootLogin no"}, []string{"as root"}},
		"says why":         {[]string{other}, []string{"Banner " + write(t, filepath.Join(t.TempDir(), "banner"), "\x1b[2JAsk the \x07operators.\n")}, []string{`it says: "`, "Ask the"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := sshd(t, []string{key + ".pub"}, c.lines...)
			_, err := link.New(link.Options{}).Dial(t.Context(), s.target(t, c.keys...))
			wants(t, err, hopeless, c.says...)
		})
	}
}

func sshLimits(t *testing.T) {
	key := keygen(t, "-t", "ed25519", "-N", "")
	s := sshd(t, []string{key + ".pub"}, "MaxSessions 1")
	c := dial(t, link.New(link.Options{}), s.target(t, key))
	first, err := c.Open(t.Context(), "cat")
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Open(t.Context(), "true")
	wants(t, err, []error{link.ErrNoSession}, "MaxSessions")
	first.CloseWrite()
	if err := first.Wait(); err != nil {
		t.Error(err)
	}
	for range 3 { // strictly one after the other
		if got := output(t, c, "echo next"); got != "next\n" {
			t.Errorf("got %q", got)
		}
	}

	s = sshd(t, []string{key + ".pub"}, "MaxStartups 1")
	for first := byte(0); first != 'S'; { // until it is let in and greeted: sshd may not have done yet with whoever waited for it to listen
		idle, err := net.Dial("tcp", s.address())
		if err != nil {
			t.Fatal(err)
		}
		defer idle.Close()
		fmt.Fscanf(idle, "%c", &first)
	}
	_, err = link.New(link.Options{}).Dial(t.Context(), s.target(t, key))
	wants(t, err, gone, "MaxStartups", `it says: "Exceeded MaxStartups"`)
}

func sshEnds(t *testing.T) {
	key := keygen(t, "-t", "ed25519", "-N", "")
	s := sshd(t, []string{key + ".pub"})
	c := dial(t, link.New(link.Options{}), s.target(t, key))
	for command, want := range map[string]link.ExitError{
		"exit 7":            {Status: 7},
		"kill -TERM $$":     {Status: -1, Signal: "TERM"},
		"kill -KILL $$":     {Status: -1, Signal: "KILL"},
		"no-such-command":   {Status: 127},
		"echo x >&2; false": {Status: 1},
	} {
		stream, err := c.Open(t.Context(), command)
		if err != nil {
			t.Fatal(err)
		}
		var exit *link.ExitError
		if err := stream.Wait(); !errors.As(err, &exit) || *exit != want {
			t.Errorf("%s: %v, want %v", command, err, &want)
		}
		stream.Close()
	}

	stream, err := c.Open(t.Context(), `echo "$PPID"; exec cat`)
	if err != nil {
		t.Fatal(err)
	}
	var parent int
	if _, err := fmt.Fscan(stream, &parent); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(parent, syscall.SIGKILL); err != nil { // the process of sshd's that has our connection
		t.Fatal(err)
	}
	if _, err := io.ReadAll(stream); err == nil {
		t.Error("the end of the link is an end of the output")
	}
	wants(t, stream.Wait(), gone, "lost")
	<-c.Done()

	c = dial(t, link.New(link.Options{}), s.target(t, key))
	s.process.Kill() // connections outlive the server
	if got := output(t, c, "echo still"); got != "still\n" {
		t.Errorf("got %q", got)
	}
	_, err = link.New(link.Options{}).Dial(t.Context(), s.target(t, key))
	wants(t, err, gone, "connection refused")
}

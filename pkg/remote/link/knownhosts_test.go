package link

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

func newSigner(t testing.TB) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// field is a key as it stands in a known_hosts file.
func field(k ssh.PublicKey) string {
	return k.Type() + " " + base64.StdEncoding.EncodeToString(k.Marshal())
}

func TestKnownHostsNamesHostsAsSSHDoes(t *testing.T) {
	k := field(newSigner(t).PublicKey())
	for _, c := range []struct {
		line, name string
		want       bool
	}{
		{"web " + k, "web", true},
		{"  web\t" + k + " a comment here", "web", true},
		{"WEB.example " + k, "web.example", true},
		{"web " + k, "web2", false},
		{"db,web,192.0.2.1 " + k, "192.0.2.1", true},
		{"*.example " + k, "web.example", true},
		{"*.example " + k, "example", false},
		{"w?b " + k, "web", true},
		{"*.example,!bad.example " + k, "bad.example", false},
		{"!bad.example,*.example " + k, "bad.example", false},
		{"!bad.example " + k, "good.example", false},
		{"[web]:2222 " + k, "[web]:2222", true},
		{"[web]:2222 " + k, "web", false},
		{"[*.example]:2222 " + k, "[web.example]:2222", true},
		{"2001:db8::1 " + k, "2001:db8::1", true},
		{"# web " + k, "web", false},
		{"web " + k + "\r", "web", true},
		{"web", "web", false},
		{"web ssh-ed25519", "web", false},
		{"web ssh-rsa " + strings.Fields(k)[1], "web", false}, // it says another type than it has
		{"web ssh-ed25519 AAAA!", "web", false},
		{"@strange web " + k, "web", false},
		{"@cert-authority @revoked web " + k, "web", false},
		{"@", "web", false},
		{", " + k, "web", false},
		{"| " + k, "web", false},
		{"|1|x|y " + k, "web", false},
	} {
		var got known
		got.read([]byte(c.line), "f", c.name)
		if (len(got.keys) == 1) != c.want || len(got.authorities)+len(got.revoked) > 0 {
			t.Errorf("%q for %s: %+v, want it known: %v", c.line, c.name, got, c.want)
		}
	}
}

// TestKnownHostsAgreesWithSSHKeygen reads what ssh-keygen writes, and finds what it finds.
func TestKnownHostsAgreesWithSSHKeygen(t *testing.T) {
	file := filepath.Join(t.TempDir(), "known_hosts")
	text := "web " + field(newSigner(t).PublicKey()) + "\n[db]:2222 " + field(newSigner(t).PublicKey()) + "\n192.0.2.1 " + field(newSigner(t).PublicKey()) + "\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("ssh-keygen", "-H", "-f", file).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	hashed, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(hashed), "web") {
		t.Fatalf("it isn't hashed: %s", hashed)
	}
	for _, name := range []string{"web", "[db]:2222", "192.0.2.1", "db", "[web]:2222", "other"} {
		var got known
		got.read(hashed, file, name)
		out, _ := exec.Command("ssh-keygen", "-l", "-F", name, "-f", file).Output() // status 1 says that there is none
		found := len(out) > 0
		if found != (len(got.keys) == 1) || found && !strings.Contains(string(out), got.keys[0].Fingerprint) {
			t.Errorf("%s: we found %v, ssh-keygen %q", name, got.keys, out)
		}
	}
}

func TestHostNameIsThatOfKnownHosts(t *testing.T) {
	for _, c := range []struct {
		address string
		port    int
		alias   string
		want    string
	}{
		{"Web.Example", 0, "", "web.example"},
		{"web", 22, "", "web"},
		{"web", 2222, "", "[web]:2222"},
		{"2001:db8::1", 0, "", "2001:db8::1"},
		{"2001:db8::1", 2222, "", "[2001:db8::1]:2222"},
		{"web", 2222, "Inner", "inner"},
	} {
		if got := hostName(c.address, c.port, c.alias); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
	for name, want := range map[string]string{"web": "web", "[web]:2222": "web", "::1": "::1", "[::1]:22": "::1"} {
		if got := unbracket(name); got != want {
			t.Errorf("%s without its port: %s", name, got)
		}
	}
}

func TestAlgorithmsAskForTheKeyThatCanBeCompared(t *testing.T) {
	all := known{}.algorithms()
	if all[0] != ssh.KeyAlgoED25519 || slices.Contains(all, ssh.KeyAlgoRSA) || slices.Contains(all, ssh.CertAlgoED25519v01) {
		t.Errorf("of an unknown host: %v", all)
	}
	rsa := known{keys: []KnownKey{{Type: ssh.KeyAlgoRSA}}}.algorithms()
	if rsa[0] != ssh.KeyAlgoRSASHA512 || rsa[1] != ssh.KeyAlgoRSASHA256 || len(rsa) != len(all) {
		t.Errorf("of a host with an RSA key: %v", rsa)
	}
	elsewhere := known{elsewhere: []KnownKey{{Type: ssh.KeyAlgoECDSA256}}}.algorithms()
	if elsewhere[0] != ssh.KeyAlgoECDSA256 {
		t.Errorf("of one known at port 22: %v", elsewhere)
	}
	certified := known{authorities: []KnownKey{{Type: ssh.KeyAlgoRSA}}}.algorithms()
	if certified[0] != ssh.CertAlgoED25519v01 || len(certified) <= len(all) {
		t.Errorf("of one with an authority: %v", certified)
	}
}

func TestJudge(t *testing.T) {
	key, other, authority := newSigner(t), newSigner(t), newSigner(t)
	now := time.Unix(1_800_000_000, 0)
	certificate := func(change func(*ssh.Certificate)) ssh.PublicKey {
		c := &ssh.Certificate{Key: key.PublicKey(), CertType: ssh.HostCert, ValidPrincipals: []string{"web", "*.example"}, ValidAfter: uint64(now.Unix()) - 10, ValidBefore: uint64(now.Unix()) + 10}
		change(c)
		if err := c.SignCert(rand.Reader, authority); err != nil {
			t.Fatal(err)
		}
		return c
	}
	good := certificate(func(*ssh.Certificate) {})
	known1 := "web " + field(key.PublicKey())
	ca := "@cert-authority web,*.example " + field(authority.PublicKey())
	for _, c := range []struct {
		name, file string
		offered    ssh.PublicKey
		principal  string
		want       verdict
	}{
		{"a known key", known1, key.PublicKey(), "web", trusted},
		{"one of two known keys", "web " + field(other.PublicKey()) + "\n" + known1, key.PublicKey(), "web", trusted},
		{"another than the known", known1, other.PublicKey(), "web", changed},
		{"nothing known", "db " + field(key.PublicKey()), key.PublicKey(), "web", unknown},
		{"a revoked key", "@revoked * " + field(key.PublicKey()), key.PublicKey(), "web", revoked},
		{"a revoked key that is known as well", known1 + "\n@revoked web " + field(key.PublicKey()), key.PublicKey(), "web", revoked},
		{"a key that another host's line revokes", known1 + "\n@revoked db " + field(key.PublicKey()), key.PublicKey(), "web", revoked},
		{"another key is revoked", known1 + "\n@revoked * " + field(other.PublicKey()), key.PublicKey(), "web", trusted},
		{"a certificate of the authority", ca, good, "web", trusted},
		{"a name by a pattern", ca, good, "a.example", trusted},
		{"an authority for others", "@cert-authority db " + field(authority.PublicKey()), good, "web", unknown},
		{"a certificate of a stranger's, for a known key", known1, good, "web", trusted},
		{"a certificate of a stranger's, and another key known", "web " + field(other.PublicKey()), good, "web", changed},
		{"an authority isn't a key", ca, authority.PublicKey(), "web", unknown},
		{"a certificate for another name", ca, certificate(func(c *ssh.Certificate) { c.ValidPrincipals = []string{"db"} }), "web", badCertificate},
		{"an expired one", ca, certificate(func(c *ssh.Certificate) { c.ValidBefore = uint64(now.Unix()) - 1 }), "web", badCertificate},
		{"one that isn't valid yet", ca, certificate(func(c *ssh.Certificate) { c.ValidAfter = uint64(now.Unix()) + 1 }), "web", badCertificate},
		{"a user's", ca, certificate(func(c *ssh.Certificate) { c.CertType = ssh.UserCert }), "web", badCertificate},
		{"one with an option that isn't known", ca, certificate(func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{"x": ""} }), "web", badCertificate},
		{"a revoked authority", ca + "\n@revoked * " + field(authority.PublicKey()), good, "web", revoked},
		{"a certificate for a revoked key", ca + "\n@revoked * " + field(key.PublicKey()), good, "web", revoked},
	} {
		t.Run(c.name, func(t *testing.T) {
			var k known
			k.read([]byte(c.file), "f", c.principal)
			if got, _, err := k.judge(c.offered, c.principal, now); got != c.want || (err != nil) != (c.want == badCertificate) {
				t.Errorf("got %v, %v", got.problem(), err)
			}
		})
	}
}

func TestWild(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"*", "", true}, {"?", "", false}, {"a*b*c", "aXbYc", true}, {"a*b*c", "aXbY", false}, {"**", "x", true}, {"*a", "aab", false}, {"*ab", "aab", true},
		{strings.Repeat("*a", 2000), strings.Repeat("a", 4000) + "b", false}, // in no time
	} {
		if got := wild(c.pattern, c.s); got != c.want {
			t.Errorf("%.20q on %.20q: %v", c.pattern, c.s, got)
		}
	}
}

// FuzzKnownHosts: whatever stands in the file, it doesn't hide a line of ours, and no key is known that doesn't stand there.
func FuzzKnownHosts(f *testing.F) {
	s := newSigner(f)
	f.Add("web "+field(s.PublicKey())+"\n", "web")
	f.Add("|1|c2FsdA==|aGFzaA== ssh-ed25519 AAAA\n@revoked\n@cert-authority *,!a ssh-rsa AA", "a")
	f.Add("\x00\n\r\n,,,!*?", "")
	f.Fuzz(func(t *testing.T, text, host string) {
		var before, after known
		before.read([]byte(text), "f", host)
		for _, k := range before.keys {
			if !strings.Contains(text, base64.StdEncoding.EncodeToString(k.blob)) && !strings.ContainsAny(text, "\r\n") {
				t.Errorf("%s stands nowhere in %q", k, text)
			}
		}
		if (Target{Address: host}).check() != nil || strings.ToLower(host) != host || strings.ContainsFunc(host, func(r rune) bool { return r > 0x7e }) {
			return
		}
		after.read([]byte(text+"\n"+knownLine(host, s.PublicKey())), "f", host)
		if len(after.keys) != len(before.keys)+1 || !after.keys[len(after.keys)-1].is(s.PublicKey()) {
			t.Errorf("after %q, %s isn't known: %+v", text, host, after)
		}
	})
}

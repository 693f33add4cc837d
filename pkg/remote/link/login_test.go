package link_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"reconciler.dev/reconciler/pkg/remote/link"
	"reconciler.dev/reconciler/test/simhost"
)

// pair is a private key and its public one.
type pair struct {
	private any
	ssh.PublicKey
}

func newPair(t *testing.T) pair {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return pairOf(t, private)
}

func pairOf(t *testing.T, private any) pair {
	t.Helper()
	s, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pair{private, s.PublicKey()}
}

// doorman lets some keys in and remembers, in order, which were shown.
type doorman struct {
	mu    sync.Mutex
	opens []ssh.PublicKey
	shown []string
}

func (d *doorman) login(_ string, key ssh.PublicKey) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if name := kind(key) + ssh.FingerprintSHA256(plain(key)); !slices.Contains(d.shown, name) {
		d.shown = append(d.shown, name)
	}
	if slices.ContainsFunc(d.opens, func(k ssh.PublicKey) bool { return string(k.Marshal()) == string(key.Marshal()) }) {
		return nil
	}
	return errors.New("no")
}

func kind(key ssh.PublicKey) string {
	if _, ok := key.(*ssh.Certificate); ok {
		return "certificate "
	}
	return "key "
}

func plain(key ssh.PublicKey) ssh.PublicKey {
	if c, ok := key.(*ssh.Certificate); ok {
		return c.Key
	}
	return key
}

// guarded makes a host that lets those keys in.
func guarded(t *testing.T, opens ...ssh.PublicKey) (*simhost.Host, *doorman) {
	d := &doorman{opens: opens}
	return simulate(t, simhost.Options{Login: d.login}), d
}

// serveAgent makes an ssh-agent with those keys.
func serveAgent(t *testing.T, a agent.Agent) (socket string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				agent.ServeAgent(a, conn)
			}()
		}
	}()
	return l.Addr().String()
}

func holding(t *testing.T, keys ...agent.AddedKey) agent.Agent {
	t.Helper()
	a := agent.NewKeyring()
	for _, k := range keys {
		if err := a.Add(k); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

func certify(t *testing.T, key ssh.PublicKey, until uint64) *ssh.Certificate {
	t.Helper()
	c := &ssh.Certificate{Key: key, CertType: ssh.UserCert, ValidPrincipals: []string{"alice"}, ValidBefore: until}
	if err := c.SignCert(rand.Reader, newKey(t)); err != nil {
		t.Fatal(err)
	}
	return c
}

func public(key ssh.PublicKey) string { return string(ssh.MarshalAuthorizedKey(key)) }

func TestKeysOfEveryType(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]pair{"rsa": pairOf(t, rsaKey), "ecdsa": pairOf(t, curve), "ed25519": newPair(t)} {
		t.Run(name, func(t *testing.T) {
			h, _ := guarded(t, p.PublicKey)
			target := h.Target()
			target.IdentityFiles = []string{keyFile(t, filepath.Join(t.TempDir(), "id"), p.private, "")}
			dial(t, link.New(link.Options{}), target)

			target.IdentityFiles, target.IdentityAgent = []string{}, serveAgent(t, holding(t, agent.AddedKey{PrivateKey: p.private}))
			dial(t, link.New(link.Options{}), target)

			cert := certify(t, p.PublicKey, ssh.CertTimeInfinity)
			h, _ = guarded(t, cert)
			target.Port, target.HostKey = h.Port(), public(h.Key())
			target.CertificateFiles = []string{write(t, filepath.Join(t.TempDir(), "cert.pub"), public(cert))}
			dial(t, link.New(link.Options{}), target)
		})
	}
}

// TestOrderOfKeys is ssh's: certificates, keys of the agent that the target names, the agent's others, those of files.
func TestOrderOfKeys(t *testing.T) {
	inAgent, named, inFile, certified := newPair(t), newPair(t), newPair(t), newPair(t)
	dir := t.TempDir()
	socket := serveAgent(t, holding(t, agent.AddedKey{PrivateKey: inAgent.private}, agent.AddedKey{PrivateKey: named.private}))
	cert := certify(t, certified.PublicKey, ssh.CertTimeInfinity)
	write(t, filepath.Join(dir, "c-cert.pub"), public(cert))
	all := []string{
		"certificate " + ssh.FingerprintSHA256(certified), "key " + ssh.FingerprintSHA256(named), "key " + ssh.FingerprintSHA256(inAgent),
		"key " + ssh.FingerprintSHA256(inFile), "key " + ssh.FingerprintSHA256(certified),
	}
	for _, c := range []struct {
		name string
		only bool
		want []string
	}{
		{"all", false, all},
		{"IdentitiesOnly", true, slices.Delete(slices.Clone(all), 2, 3)},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, door := guarded(t)
			target := h.Target()
			target.IdentityAgent, target.IdentitiesOnly = "", c.only
			target.IdentityFiles = []string{
				keyFile(t, filepath.Join(dir, "f"), inFile.private, ""),
				write(t, filepath.Join(dir, "n.pub"), public(named)), // only its public half lies there
				keyFile(t, filepath.Join(dir, "c"), certified.private, ""),
			}
			d := link.New(link.Options{Getenv: func(name string) string { return map[string]string{"SSH_AUTH_SOCK": socket}[name] }})
			_, err := d.Dial(t.Context(), target)
			wants(t, err, hopeless, "log in to host sim", "as alice", "takes none of", link.Fingerprint(inFile)+" ("+dir+"/f)", link.Fingerprint(named)+" (agent)", "authorized_keys")
			if !slices.Equal(door.shown, c.want) {
				t.Errorf("shown were\n%q, want\n%q", door.shown, c.want)
			}
		})
	}
}

// TestEncryptedKeysAreAskedForOnceAndOnlyWhereTheyOpen, by one question at a time, and however long a person takes.
func TestEncryptedKeysAreAskedForOnceAndOnlyWhereTheyOpen(t *testing.T) {
	p, spare := newPair(t), newPair(t)
	dir := t.TempDir()
	id := keyFile(t, filepath.Join(dir, "id"), p.private, "open sesame")
	useless := keyFile(t, filepath.Join(dir, "useless"), spare.private, "never asked")
	synctest.Test(t, func(t *testing.T) {
		door := &doorman{opens: []ssh.PublicKey{p.PublicKey}}
		h := simulate(t, simhost.Options{Login: door.login, Unlisted: true})
		target := h.Target()
		target.IdentityFiles = []string{useless, id}
		var prompts []string
		answers := []string{"wrong", "open sesame"}
		d := link.New(link.Options{Connect: h.Connect, Ask: func(_ context.Context, prompt string) (string, error) {
			prompts = append(prompts, prompt) // two at a time would be a race
			time.Sleep(time.Hour)
			return answers[len(prompts)-1], nil
		}})
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				c, err := d.Dial(t.Context(), target)
				if err != nil {
					t.Error(err)
					return
				}
				c.Close()
			})
		}
		wg.Wait()
		if want := []string{"Passphrase of " + id + ": ", "That isn't it. Passphrase of " + id + ": "}; !slices.Equal(prompts, want) {
			t.Errorf("asked: %q", prompts)
		}
	})
}

func TestEncryptedKeysThatStayClosed(t *testing.T) {
	p, other := newPair(t), newPair(t)
	h, _ := guarded(t, p.PublicKey, other.PublicKey)
	target := h.Target()
	target.IdentityFiles = []string{keyFile(t, filepath.Join(t.TempDir(), "id"), p.private, "open sesame")}
	refuse := func(context.Context, string) (string, error) { return "", errors.New("there is no terminal") }
	for name, c := range map[string]struct {
		ask  func(context.Context, string) (string, error)
		says string
	}{
		"nobody to ask":    {nil, "ssh-add " + target.IdentityFiles[0]},
		"wrong every time": {func(context.Context, string) (string, error) { return "guess", nil }, "three times"},
		"no answer":        {refuse, "there is no terminal"},
	} {
		_, err := link.New(link.Options{Ask: c.ask}).Dial(t.Context(), target)
		t.Run(name, func(t *testing.T) { wants(t, err, hopeless, target.IdentityFiles[0], c.says) })
	}
	// It doesn't rule out the next.
	target.IdentityFiles = append(target.IdentityFiles, keyFile(t, filepath.Join(t.TempDir(), "other"), other.private, ""))
	dial(t, link.New(link.Options{Ask: refuse}), target)
	// Nor is anybody asked where the agent has it.
	target.IdentityFiles = target.IdentityFiles[:1]
	target.IdentityAgent = serveAgent(t, holding(t, agent.AddedKey{PrivateKey: p.private}))
	dial(t, link.New(link.Options{}), target)
}

// TestOldFormatsOfEncryptedKeys don't tell which key they hold: a .pub beside them does, or the passphrase.
func TestOldFormatsOfEncryptedKeys(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	//lint:ignore SA1019 the format is broken, and still in people's homes
	block, err := x509.EncryptPEMBlock(rand.Reader, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(private), []byte("pass"), x509.PEMCipherAES128)
	if err != nil {
		t.Fatal(err)
	}
	p := pairOf(t, private)
	path := write(t, filepath.Join(t.TempDir(), "id"), string(pem.EncodeToMemory(block)))
	asked := 0
	d := link.New(link.Options{Ask: func(context.Context, string) (string, error) { asked++; return "pass", nil }})
	for _, withPublic := range []bool{false, true} {
		if withPublic {
			write(t, path+".pub", public(p))
		}
		h, _ := guarded(t, p.PublicKey)
		target := h.Target()
		target.IdentityFiles = []string{path}
		dial(t, d, target)
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
}

func TestKeysThatAreOfNoUseAreNamed(t *testing.T) {
	p := newPair(t)
	dir := t.TempDir()
	exposed := keyFile(t, filepath.Join(dir, "exposed"), p.private, "")
	if err := os.Chmod(exposed, 0o644); err != nil {
		t.Fatal(err)
	}
	h, _ := guarded(t, p.PublicKey)
	target := h.Target()
	target.IdentityFiles = []string{
		exposed, filepath.Join(dir, "missing"), write(t, filepath.Join(dir, "text"), "no key"), dir,
		write(t, filepath.Join(dir, "hardware"), public(newPair(t))),
	}
	target.CertificateFiles = []string{
		write(t, filepath.Join(dir, "stray.pub"), public(certify(t, newPair(t), ssh.CertTimeInfinity))),
		write(t, filepath.Join(dir, "plain.pub"), public(newPair(t))),
	}
	target.IdentityAgent = filepath.Join(dir, "no-agent")
	_, err := link.New(link.Options{}).Dial(t.Context(), target)
	wants(t, err, hopeless, "no key to offer", exposed+" (others can read it", "chmod 600 "+exposed, "missing (no such file", "text (it isn't a key", dir+" (it isn't a file",
		"the agent at "+target.IdentityAgent, "stray.pub (there is no private key", "plain.pub (it isn't a certificate)")
}

func TestDefaultKeysAreThoseOfSSH(t *testing.T) {
	p := newPair(t)
	home := t.TempDir()
	h, _ := guarded(t, p.PublicKey)
	target := h.Target()
	target.IdentityFiles = nil
	_, err := link.New(link.Options{Home: home}).Dial(t.Context(), target)
	wants(t, err, hopeless, "no key to offer")
	keyFile(t, filepath.Join(home, ".ssh", "id_ed25519"), p.private, "")
	dial(t, link.New(link.Options{Home: home}), target)
	target.User = ""
	dial(t, link.New(link.Options{Home: home, User: "alice"}), target)
}

func TestExpiredCertificateIsNamed(t *testing.T) {
	p := newPair(t)
	dir := t.TempDir()
	h, _ := guarded(t)
	target := h.Target()
	target.IdentityFiles = []string{keyFile(t, filepath.Join(dir, "id"), p.private, "")}
	write(t, filepath.Join(dir, "id-cert.pub"), public(certify(t, p, 1_000_000_000)))
	_, err := link.New(link.Options{}).Dial(t.Context(), target)
	wants(t, err, hopeless, "id-cert.pub, expired on 2001-09-09")
}

// stubborn is an agent that lists a key and doesn't sign with it, or is stuck.
type stubborn struct {
	agent.Agent
	stuck chan struct{}
}

func (s stubborn) Sign(ssh.PublicKey, []byte) (*ssh.Signature, error) {
	if s.stuck != nil {
		<-s.stuck
	}
	return nil, errors.New("the person said no")
}

func TestAgentThatDoesNotSign(t *testing.T) {
	held, inFile := newPair(t), newPair(t)
	h, _ := guarded(t, held.PublicKey, inFile.PublicKey)
	target := h.Target()
	target.IdentityAgent = serveAgent(t, stubborn{Agent: holding(t, agent.AddedKey{PrivateKey: held.private})})
	_, err := link.New(link.Options{}).Dial(t.Context(), target)
	wants(t, err, hopeless, "agent (")

	target.IdentityFiles = []string{keyFile(t, filepath.Join(t.TempDir(), "id"), inFile.private, "")}
	dial(t, link.New(link.Options{}), target) // the next key is tried

	stuck := make(chan struct{})
	defer close(stuck)
	target.IdentityAgent = serveAgent(t, stubborn{holding(t, agent.AddedKey{PrivateKey: held.private}), stuck})
	target.ConnectTimeout = 200 * time.Millisecond
	_, err = link.New(link.Options{}).Dial(t.Context(), target)
	wants(t, err, gone, "within 200ms")
}

func TestBannerIsQuotedAndHarmless(t *testing.T) {
	d := &doorman{}
	h := simulate(t, simhost.Options{Login: d.login, Banner: "\x1b]0;owned\a\x1b[2JAuthorised\r\npeople only\n"})
	target := h.Target()
	target.IdentityFiles = []string{keyFile(t, filepath.Join(t.TempDir(), "id"), newPair(t).private, "")}
	_, err := link.New(link.Options{}).Dial(t.Context(), target)
	wants(t, err, hopeless, "it says: ", "Authorised people only")
}

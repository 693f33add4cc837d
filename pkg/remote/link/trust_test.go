package link_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"

	"reconciler.dev/reconciler/pkg/remote/link"
	"reconciler.dev/reconciler/test/simhost"
)

// line is a line of known_hosts for a simulated host.
func line(h *simhost.Host, key ssh.PublicKey) string {
	return "[127.0.0.1]:" + strconv.Itoa(h.Port()) + " " + key.Type() + " " + base64.StdEncoding.EncodeToString(key.Marshal()) + "\n"
}

// unpinned is a target whose key is looked up in file.
func unpinned(h *simhost.Host, strict, file string) link.Target {
	target := h.Target()
	target.HostKey, target.KnownHostsFiles, target.StrictHostKeyChecking = "", []string{file}, strict
	return target
}

// strictness are all values of StrictHostKeyChecking.
var strictness = []string{"", "yes", "accept-new", "ask", "no", "off"}

func TestKnownKeyIsTrusted(t *testing.T) {
	h := simulate(t, simhost.Options{})
	for _, strict := range strictness {
		file := write(t, filepath.Join(t.TempDir(), "known_hosts"), line(h, h.Key()))
		c := dial(t, link.New(link.Options{}), unpinned(h, strict, file))
		c.Close()
		if read(t, file) != line(h, h.Key()) {
			t.Errorf("%s: the file was changed", strict)
		}
	}
}

// TestChangedOrRevokedKeyIsAlwaysRefused, whatever StrictHostKeyChecking says and whoever would say yes, with both fingerprints.
func TestChangedOrRevokedKeyIsAlwaysRefused(t *testing.T) {
	h := simulate(t, simhost.Options{})
	old := newKey(t).PublicKey()
	d := link.New(link.Options{Confirm: func(context.Context, string) (bool, error) {
		t.Error("somebody was asked")
		return true, nil
	}})
	for name, c := range map[string]struct {
		file    string
		problem link.HostKeyProblem
		says    []string
	}{
		"changed":           {line(h, old), link.HostKeyChanged, []string{link.Fingerprint(old), ":1)", "ssh-keygen -R '[127.0.0.1]:"}},
		"revoked":           {line(h, old) + "@revoked * " + strings.SplitN(line(h, h.Key()), " ", 2)[1], link.HostKeyRevoked, []string{":2)"}},
		"revoked and known": {"@revoked " + line(h, h.Key()) + line(h, h.Key()), link.HostKeyRevoked, []string{":1)"}},
	} {
		for _, strict := range strictness {
			t.Run(name+" "+strict, func(t *testing.T) {
				file := write(t, filepath.Join(t.TempDir(), "known_hosts"), c.file)
				_, err := d.Dial(t.Context(), unpinned(h, strict, file))
				wants(t, err, hopeless, append(c.says, "it shows "+link.Fingerprint(h.Key()), file)...)
				var why *link.HostKeyError
				if !errors.As(err, &why) || why.Problem != c.problem || link.Fingerprint(why.Offered) != link.Fingerprint(h.Key()) {
					t.Errorf("got %+v", why)
				}
				if read(t, file) != c.file {
					t.Error("the file was changed")
				}
			})
		}
	}
	target := h.Target()
	target.HostKey = string(ssh.MarshalAuthorizedKey(old))
	_, err := d.Dial(t.Context(), target)
	wants(t, err, hopeless, link.Fingerprint(old), link.Fingerprint(h.Key()), "hostKey")
	if len(h.Asked()) > 0 {
		t.Errorf("it was asked for %v", h.Asked())
	}
}

func TestUnknownKeyFollowsStrictHostKeyChecking(t *testing.T) {
	h := simulate(t, simhost.Options{})
	answers := map[string]func(context.Context, string) (bool, error){
		"nobody": nil,
		"yes":    func(context.Context, string) (bool, error) { return true, nil },
		"no":     func(context.Context, string) (bool, error) { return false, nil },
		"gone":   func(context.Context, string) (bool, error) { return false, errors.New("the terminal is gone") },
	}
	for _, strict := range strictness {
		for answer, confirm := range answers {
			t.Run(strict+" "+answer, func(t *testing.T) {
				file := filepath.Join(t.TempDir(), "new", "known_hosts")
				var notes []string
				d := link.New(link.Options{Confirm: confirm, Note: func(s string) { notes = append(notes, s) }})
				asks := strict == "" || strict == "ask"
				c, err := d.Dial(t.Context(), unpinned(h, strict, file))
				if strict == "yes" || asks && answer != "yes" {
					wants(t, err, hopeless, link.Fingerprint(h.Key()), "unknown")
					if _, err := os.Stat(file); err == nil {
						t.Error("something was written")
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				c.Close()
				if got := read(t, file); got != line(h, h.Key()) {
					t.Errorf("the file has %q", got)
				}
				if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("%v, %v", info.Mode(), err)
				}
				if len(notes) != 1 || !strings.Contains(notes[0], link.Fingerprint(h.Key())) {
					t.Errorf("noted: %q", notes)
				}
				dial(t, link.New(link.Options{}), unpinned(h, "yes", file)) // the next time
			})
		}
	}
}

func TestQuestionShowsTheFingerprint(t *testing.T) {
	h := simulate(t, simhost.Options{})
	asked := ""
	d := link.New(link.Options{Confirm: func(_ context.Context, q string) (bool, error) { asked = q; return false, nil }})
	if _, err := d.Dial(t.Context(), unpinned(h, "ask", filepath.Join(t.TempDir(), "k"))); err == nil {
		t.Fatal("it was trusted")
	}
	if !strings.Contains(asked, link.Fingerprint(h.Key())) || !strings.Contains(asked, "host sim (127.0.0.1:") {
		t.Errorf("asked: %q", asked)
	}
}

// TestNewKeysAreAppended, one line for each host, however many are dialled at once, and behind a line that somebody left without its end.
func TestNewKeysAreAppended(t *testing.T) {
	file := write(t, filepath.Join(t.TempDir(), "known_hosts"), "# by hand\nelsewhere ssh-ed25519 AAAA")
	var hosts []*simhost.Host
	for range 4 {
		hosts = append(hosts, simulate(t, simhost.Options{}))
	}
	d := link.New(link.Options{})
	var wg sync.WaitGroup
	for _, h := range hosts {
		for range 3 {
			wg.Go(func() {
				c, err := d.Dial(t.Context(), unpinned(h, "accept-new", file))
				if err != nil {
					t.Error(err)
					return
				}
				c.Close()
			})
		}
	}
	wg.Wait()
	text := read(t, file)
	if !strings.HasPrefix(text, "# by hand\nelsewhere ssh-ed25519 AAAA\n") || strings.Count(text, "\n") != 2+len(hosts) {
		t.Errorf("got %q", text)
	}
	for _, h := range hosts {
		if !strings.Contains(text, line(h, h.Key())) {
			t.Errorf("it lacks %q", line(h, h.Key()))
		}
	}
}

// TestKeyThatSomebodyElseWroteMeanwhile counts: a person said yes to a key while another process learnt a different one.
func TestKeyThatSomebodyElseWroteMeanwhile(t *testing.T) {
	h := simulate(t, simhost.Options{})
	file := filepath.Join(t.TempDir(), "known_hosts")
	other := newKey(t).PublicKey()
	d := link.New(link.Options{Confirm: func(context.Context, string) (bool, error) {
		write(t, file, line(h, other))
		return true, nil
	}})
	_, err := d.Dial(t.Context(), unpinned(h, "ask", file))
	wants(t, err, hopeless, link.Fingerprint(other), link.Fingerprint(h.Key()))
}

func TestKeyThatCannotBeRememberedIsRefused(t *testing.T) {
	h := simulate(t, simhost.Options{})
	blocked := write(t, filepath.Join(t.TempDir(), "file"), "")
	_, err := link.New(link.Options{}).Dial(t.Context(), unpinned(h, "accept-new", filepath.Join(blocked, "known_hosts")))
	wants(t, err, hopeless, "not a directory")
	target := unpinned(h, "accept-new", "")
	target.KnownHostsFiles = []string{}
	_, err = link.New(link.Options{}).Dial(t.Context(), target)
	wants(t, err, hopeless, "no known_hosts file")
	_, err = link.New(link.Options{}).Dial(t.Context(), unpinned(h, "accept-new", t.TempDir()))
	wants(t, err, hopeless, "is a directory")
}

func TestKnownHostsFilesAreReadInTheirPlaces(t *testing.T) {
	h := simulate(t, simhost.Options{})
	home := t.TempDir()
	target := unpinned(h, "yes", "")
	target.KnownHostsFiles = nil
	d := link.New(link.Options{Home: home})
	_, err := d.Dial(t.Context(), target)
	wants(t, err, hopeless, "unknown")
	write(t, filepath.Join(home, ".ssh", "known_hosts2"), line(h, h.Key()))
	dial(t, d, target)

	write(t, filepath.Join(home, ".ssh", "known_hosts2"), "inner "+strings.SplitN(line(h, h.Key()), " ", 2)[1])
	target.HostKeyAlias = "Inner"
	dial(t, d, target)

	target.HostKeyAlias = "" // the key is known without the port: as with ssh, that will do
	write(t, filepath.Join(home, ".ssh", "known_hosts2"), "127.0.0.1 "+strings.SplitN(line(h, h.Key()), " ", 2)[1])
	dial(t, d, target)
	write(t, filepath.Join(home, ".ssh", "known_hosts2"), "127.0.0.1 "+strings.SplitN(line(h, newKey(t).PublicKey()), " ", 2)[1])
	_, err = d.Dial(t.Context(), target)
	wants(t, err, hopeless, "unknown") // another key there is no change of this one
}

// TestKeyTypesAreAskedForByWhatIsKnown: a host with keys of several types shows the one that is known.
func TestKeyTypesAreAskedForByWhatIsKnown(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	old, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	h := simulate(t, simhost.Options{Keys: []ssh.Signer{newKey(t), old}})
	file := write(t, filepath.Join(t.TempDir(), "known_hosts"), line(h, old.PublicKey()))
	dial(t, link.New(link.Options{}), unpinned(h, "yes", file))
	target := h.Target()
	target.HostKey = string(ssh.MarshalAuthorizedKey(old.PublicKey()))
	dial(t, link.New(link.Options{}), target)

	h.SetKeys(newKey(t)) // and a host that lost the type that is known has changed
	_, err = link.New(link.Options{}).Dial(t.Context(), unpinned(h, "accept-new", file))
	wants(t, err, hopeless, link.Fingerprint(old.PublicKey()), link.Fingerprint(h.Key()))
}

func TestHostCertificates(t *testing.T) {
	key, authority := newKey(t), newKey(t)
	certified := func(principal string) ssh.Signer {
		c := &ssh.Certificate{Key: key.PublicKey(), CertType: ssh.HostCert, ValidPrincipals: []string{principal}, ValidBefore: ssh.CertTimeInfinity}
		if err := c.SignCert(rand.Reader, authority); err != nil {
			t.Fatal(err)
		}
		s, err := ssh.NewCertSigner(c, key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	h := simulate(t, simhost.Options{Keys: []ssh.Signer{certified("127.0.0.1"), key}})
	file := write(t, filepath.Join(t.TempDir(), "known_hosts"), "@cert-authority "+line(h, authority.PublicKey()))
	dial(t, link.New(link.Options{}), unpinned(h, "yes", file))
	wildcard := write(t, filepath.Join(t.TempDir(), "known_hosts"), "@cert-authority 127.0.0.* "+strings.SplitN(line(h, authority.PublicKey()), " ", 2)[1])
	dial(t, link.New(link.Options{}), unpinned(h, "yes", wildcard))

	h.SetKeys(certified("db.example"), key)
	_, err := link.New(link.Options{}).Dial(t.Context(), unpinned(h, "no", file))
	wants(t, err, hopeless, link.Fingerprint(key.PublicKey()), link.Fingerprint(authority.PublicKey()), "db.example", "for the name 127.0.0.1")
}

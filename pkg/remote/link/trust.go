package link

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"reconciler.dev/reconciler/internal/flock"
	"reconciler.dev/reconciler/pkg/drivers"
)

// trust decides whether a host is the one that is meant.
type trust struct {
	dialer *Dialer
	limit  *deadline
	target Target
	files  []string
	name   string // in known_hosts
	known  known
}

// trust reads what is known of the host.
func (h *hop) trust() (*trust, error) {
	t := &trust{dialer: h.dialer, limit: h.limit, target: h.target, files: h.target.KnownHostsFiles}
	t.name = hostName(h.target.Address, h.target.Port, h.target.HostKeyAlias)
	if h.target.HostKey != "" {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(h.target.HostKey))
		if err != nil {
			return nil, refused(err, `reach %s: its hostKey isn't a public key: it begins with a type, as "ssh-ed25519 AAAA…" does`, h.target.where())
		}
		t.known.keys = []KnownKey{knownKey(key.Type(), key.Marshal(), "", 0)}
		return t, nil
	}
	if t.files == nil {
		t.files = defaultKnownHosts(h.dialer.Home)
	}
	var err error
	if t.known, err = t.read(); err != nil {
		return nil, refused(err, "reach %s: its key can't be verified: %v", h.target.where(), err)
	}
	return t, nil
}

func defaultKnownHosts(home string) []string {
	files := []string{"/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"}
	if home != "" {
		files = append([]string{filepath.Join(home, ".ssh", "known_hosts"), filepath.Join(home, ".ssh", "known_hosts2")}, files...)
	}
	return files
}

// read reads all files; one that isn't there tells nothing.
func (t *trust) read() (known, error) {
	var k, elsewhere known
	portless := unbracket(t.name)
	for _, file := range t.files {
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return known{}, err
		}
		k.read(text, file, t.name)
		if portless != t.name {
			elsewhere.read(text, file, portless)
		}
	}
	if len(k.keys) == 0 {
		k.elsewhere = elsewhere.keys
		k.authorities = append(k.authorities, elsewhere.authorities...)
	}
	return k, nil
}

// check is nil where key is the host's.
func (t *trust) check(ctx context.Context, key ssh.PublicKey) error {
	v, because, err := t.judge(key)
	if v == unknown {
		return t.unknown(ctx, key)
	}
	return t.verdict(v, key, because, err)
}

func (t *trust) judge(key ssh.PublicKey) (verdict, []KnownKey, error) {
	return t.known.judge(key, unbracket(t.name), time.Now())
}

func (t *trust) verdict(v verdict, key ssh.PublicKey, because []KnownKey, err error) error {
	if v == trusted {
		return nil
	}
	return &HostKeyError{Host: t.target.where(), Name: t.name, Problem: v.problem(), Offered: key, Known: because, err: err}
}

// unknown does with a new key what StrictHostKeyChecking says.
func (t *trust) unknown(ctx context.Context, key ssh.PublicKey) error {
	switch t.target.StrictHostKeyChecking {
	case "accept-new", "no", "off":
		return t.learn(ctx, key)
	case "yes":
		return t.verdict(unknown, key, nil, nil)
	}
	if t.dialer.Confirm == nil {
		return t.verdict(unknown, key, nil, nil)
	}
	return t.dialer.ask(ctx, t.limit, func() error {
		yes, err := t.dialer.Confirm(ctx, fmt.Sprintf("The key of %s is unknown: %s. Is it the host's?", t.target.where(), Fingerprint(key)))
		if err != nil {
			return refused(err, "reach %s: its key %s is unknown, and nobody said that it is right: %v", t.target.where(), Fingerprint(key), err)
		}
		if !yes {
			return t.verdict(unknown, key, nil, nil)
		}
		return t.learn(ctx, key)
	})
}

// learn writes a new key to the first file, unless somebody else did meanwhile, or wrote another.
func (t *trust) learn(ctx context.Context, key ssh.PublicKey) error {
	if len(t.files) == 0 {
		return refused(fs.ErrNotExist, "reach %s: its key %s is unknown, and there is no known_hosts file to remember it in", t.target.where(), Fingerprint(key))
	}
	file := t.files[0]
	wrap := func(err error) error {
		return refused(err, "reach %s: its key %s is new and can't be remembered: %v; make the file writable, or give the host its hostKey", t.target.where(), Fingerprint(key), err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return wrap(err)
	}
	held, err := flock.Lock(ctx, file) // the file itself: ssh makes it with the same mode, and pays locks no heed
	if err != nil {
		return wrap(err)
	}
	defer held.Release()
	if t.known, err = t.read(); err != nil {
		return wrap(err)
	}
	if v, because, err := t.judge(key); v != unknown {
		return t.verdict(v, key, because, err)
	}
	if err := appendLine(file, knownLine(t.name, key)); err != nil {
		return wrap(err)
	}
	t.dialer.note("host %s is trusted from now on: its key %s was new, and is in %s", t.target, Fingerprint(key), file)
	return nil
}

// knownLine is the line of known_hosts for a host's key; that of a certificate is the key's that it certifies.
func knownLine(name string, key ssh.PublicKey) string {
	if cert, ok := key.(*ssh.Certificate); ok {
		key = cert.Key
	}
	return name + " " + key.Type() + " " + base64.StdEncoding.EncodeToString(key.Marshal()) + "\n"
}

// appendLine adds a line in one write, as ssh does, which may be doing so at the same time.
func appendLine(file, line string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if len(text) > 0 && !bytes.HasSuffix(text, []byte("\n")) {
		line = "\n" + line
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line)
	if fi, e := f.Stat(); e == nil && fi.Mode().IsRegular() {
		err = errors.Join(err, f.Sync())
	}
	return errors.Join(err, f.Close())
}

// HostKeyProblem is why the key of a host isn't trusted.
type HostKeyProblem string

const (
	// HostKeyUnknown: nothing is known of the host, and nobody said that the key is right.
	HostKeyUnknown HostKeyProblem = "unknown"
	// HostKeyChanged: other keys are known of the host.
	HostKeyChanged HostKeyProblem = "changed"
	// HostKeyRevoked: the key, or the authority that certified it, is marked @revoked.
	HostKeyRevoked HostKeyProblem = "revoked"
	// HostKeyCertificate: the key has a certificate of a known authority that doesn't hold for this host, or not now.
	HostKeyCertificate HostKeyProblem = "certificate"
)

func (v verdict) problem() HostKeyProblem {
	return map[verdict]HostKeyProblem{unknown: HostKeyUnknown, changed: HostKeyChanged, revoked: HostKeyRevoked, badCertificate: HostKeyCertificate}[v]
}

// HostKeyError is that a host isn't trusted. Nothing was said to it but what it takes to see its key. It wraps drivers.ErrUnreachable and drivers.ErrPermanent.
type HostKeyError struct {
	// Host is the host with its address; Name is what it is called in known_hosts.
	Host, Name string
	Problem    HostKeyProblem
	// Offered is the key, or the certificate, that the host showed.
	Offered ssh.PublicKey
	// Known are the keys that are known of the host, or the one that is revoked, or the authority's.
	Known []KnownKey

	err error
}

func (e *HostKeyError) Unwrap() []error {
	return []error{drivers.ErrUnreachable, drivers.ErrPermanent}
}

// Error names both the key that the host showed and what is known, and what to do.
func (e *HostKeyError) Error() string {
	offered := Fingerprint(e.Offered)
	var list []string
	for _, k := range e.Known {
		list = append(list, k.String())
	}
	about := strings.Join(list, ", ")
	switch e.Problem {
	case HostKeyChanged:
		return fmt.Sprintf("reach %s: its key isn't the one that is known: it shows %s, and known is %s. Somebody may stand between; where you know that the host got a new key, %s",
			e.Host, offered, about, e.remedy())
	case HostKeyRevoked:
		return fmt.Sprintf("reach %s: it shows %s, and revoked is %s: whoever has that key can pretend to be the host; give the host a new one", e.Host, offered, about)
	case HostKeyCertificate:
		return fmt.Sprintf("reach %s: it shows %s with a certificate of %s that isn't good: %s; give the host one for the name %s, and compare the clocks",
			e.Host, offered, about, clean(e.err), unbracket(e.Name))
	}
	return fmt.Sprintf("reach %s: its key is unknown: it shows %s. Compare that with what ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub says on the host, then add the host: reconciler host add", e.Host, offered)
}

func (e *HostKeyError) remedy() string {
	if e.Known[0].File == "" {
		return "put that into its hostKey"
	}
	return fmt.Sprintf("take the old one away: ssh-keygen -R '%s' -f '%s'", e.Name, e.Known[0].File)
}

package sshlab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"

	"reconciler.dev/reconciler/test/labhost"
)

// Home is the home of an administrator: HOME for a program. Its methods may be called from any goroutine.
type Home struct {
	// Dir is the directory; .ssh in it has id_ed25519, known_hosts and config.
	Dir string
	// Key is what id_ed25519 holds.
	Key *Key

	mu    sync.Mutex // of the files
	hosts map[string]*Key
}

// NewHome makes dir a home that knows no host.
func NewHome(dir string) (*Home, error) {
	key, err := NewKey("")
	if err != nil {
		return nil, err
	}
	h := &Home{Dir: dir, Key: key, hosts: map[string]*Key{}}
	if err := os.MkdirAll(h.Path(""), 0o700); err != nil {
		return nil, err
	}
	return h, errors.Join(key.Write(h.Path("id_ed25519")), h.note("known_hosts", ""), h.note("config", ""))
}

// Copy makes dir a home with the same key, that knows the same hosts.
func (h *Home) Copy(dir string) (*Home, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := &Home{Dir: dir, Key: h.Key, hosts: maps.Clone(h.hosts)}
	if err := os.MkdirAll(c.Path(""), 0o700); err != nil {
		return nil, err
	}
	for _, name := range []string{"id_ed25519", "id_ed25519.pub", "known_hosts", "config"} {
		text, err := os.ReadFile(h.Path(name))
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(c.Path(name), text, 0o600); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Path is that of a file in .ssh.
func (h *Home) Path(name string) string { return filepath.Join(h.Dir, ".ssh", name) }

// note appends text to a file in .ssh.
func (h *Home) note(name, text string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	f, err := os.OpenFile(h.Path(name), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// Configure appends lines to .ssh/config, which then ends with those.
func (h *Home) Configure(lines ...string) error {
	return h.note("config", strings.Join(lines, "\n")+"\n")
}

// Trust has known_hosts say that a host, by these names and addresses, has that key.
func (h *Home) Trust(key *Key, names ...string) error {
	return h.note("known_hosts", strings.Join(names, ",")+" "+key.Line()+"\n")
}

// Revoke has known_hosts say that no host may have that key any more.
func (h *Home) Revoke(key *Key) error { return h.note("known_hosts", "@revoked * "+key.Line()+"\n") }

// HostKey is the key that the host of that name had when it was enrolled.
func (h *Home) HostKey(name string) *Key {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.hosts[name]
}

// Enroll gives a host a key of its own, lets the holder of Key log in there as root, and, on hosts that have a home for them, as users; known_hosts and config name the host by its name. It
// returns once sshd answers with that key.
func (h *Home) Enroll(ctx context.Context, host *labhost.Host, users ...string) error {
	key, err := NewKey("")
	if err != nil {
		return err
	}
	for _, user := range append([]string{"root"}, users...) {
		if err := Authorize(ctx, host, user, h.Key.Line()); err != nil {
			return err
		}
	}
	if err := errors.Join(Rekey(ctx, host, key), h.know(host.Name, host.Addr, key)); err != nil {
		return fmt.Errorf("enroll %s: %w", host.Name, err)
	}
	return nil
}

// Server returns the files of a machine that is to be enrolled before it boots, and what to call once its address is known.
func (h *Home) Server(name string) (files map[string]string, enroll func(s *labhost.Server) error, err error) {
	key, err := NewKey("")
	if err != nil {
		return nil, nil, err
	}
	const path = "/etc/ssh/lab_ed25519_key"
	files = map[string]string{
		path: string(key.Private()), "/etc/ssh/sshd_config.d/10-key.conf": "HostKey " + path + "\n", "/root/.ssh/authorized_keys": h.Key.Line() + "\n",
	}
	return files, func(s *labhost.Server) error { return h.know(name, s.Addr, key) }, nil
}

// know has the files of the home name a host.
func (h *Home) know(name, address string, key *Key) error {
	h.mu.Lock()
	h.hosts[name] = key
	h.mu.Unlock()
	return errors.Join(h.Trust(key, name, address), h.Configure("Host "+name, "  HostName "+address, "  User root"))
}

// Client is how a plain program logs in to the enrolled host of that name.
func (h *Home) Client(name, user string) *ssh.ClientConfig {
	return &ssh.ClientConfig{User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(h.Key)}, HostKeyCallback: ssh.FixedHostKey(h.HostKey(name).PublicKey()), HostKeyAlgorithms: []string{ssh.KeyAlgoED25519}}
}

// Authorize makes lines all that a user's authorized_keys says. There is no other way in for the user than by a key.
func Authorize(ctx context.Context, host *labhost.Host, user string, lines ...string) error {
	dir := "/home/" + user
	if user == "root" {
		dir = "/root"
	}
	if err := host.Put(dir+"/.ssh/authorized_keys", []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		return err
	}
	if user == "root" {
		return nil
	}
	return do(ctx, host, "chown", "-R", user+":", dir+"/.ssh")
}

// Rekey makes key the only one that a host has, from the next connection on.
func Rekey(ctx context.Context, host *labhost.Host, key *Key) error {
	const path = "/etc/ssh/lab_ed25519_key"
	if err := host.Put(path, key.Private(), 0o600); err != nil {
		return err
	}
	return Sshd(ctx, host, "10-key", "HostKey "+path)
}

// Sshd adds lines to the configuration of a host's sshd, or replaces those of that name, and has sshd go by it from the next connection on. Of two that say the same thing the one counts
// whose name is first.
func Sshd(ctx context.Context, host *labhost.Host, name string, lines ...string) error {
	if err := host.Put("/etc/ssh/sshd_config.d/"+name+".conf", []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		return err
	}
	return do(ctx, host, "systemctl", "restart", "ssh.service") // connections live on
}

// do runs a command on a host that has to succeed.
func do(ctx context.Context, host *labhost.Host, args ...string) error {
	if out, err := host.Command(ctx, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s on %s: %w: %s", strings.Join(args, " "), host.Name, err, out)
	}
	return nil
}

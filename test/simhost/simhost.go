// Package simhost simulates hosts that are reached over SSH: each is a server of this process on a loopback port, with a Go function in place of its login shell, and can be told to
// misbehave. One costs a listener, a key and, while it is connected to, half a dozen goroutines, so that there may be hundreds.
//
// It must never be taken for a host: it proves nothing about sshd. What depends on that is tested against the real one.
package simhost

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"

	"reconciler.dev/reconciler/pkg/remote/link"
)

// Handler is what a host does with a command: it returns the exit status, or a negative number for an end without one. ctx ends with the session. stdin ends when the other side
// ends it.
type Handler func(ctx context.Context, command string, stdin io.Reader, stdout, stderr io.Writer) int

// Options are what a host is like.
type Options struct {
	// Handle is asked to run every command. Where nil, commands are refused.
	Handle Handler
	// Keys are the host's own; a new one of type ed25519 where there is none.
	Keys []ssh.Signer
	// Login says whether a key, or a certificate, opens an account. Where nil, everybody is let in, without a key.
	Login func(user string, key ssh.PublicKey) error
	// Banner is said before the login.
	Banner string
	// MaxSessions and MaxStartups are as in sshd_config(5): sessions at once on a connection, and connections at once that aren't logged in. 0 is any number.
	MaxSessions, MaxStartups int
	// Forward lets others through to further hosts.
	Forward bool
	// Unlisted hosts don't listen: only Connect leads to them.
	Unlisted bool
}

// Stage is a point at which a host can be told to fall silent.
type Stage int

// The stages, in the order in which a connection comes to them.
const (
	Nowhere     Stage = iota
	Greeting          // it takes the connection, and says nothing
	KeyExchange       // it greets, and says no more
	Login             // it never answers to a key, nor to none
	Session           // it never opens a session, nor a way to a further host
	Command           // it never answers to a command
	Alive             // it never answers to the question whether it is there
)

// Host is one simulated host. Its methods may be called concurrently.
type Host struct {
	options  Options
	listener net.Listener        // nil: unlisted
	begin    func(conn net.Conn) // what becomes of a connection

	mu       sync.Mutex
	silent   bool
	halves   []*half
	keys     []ssh.Signer
	hang     Stage
	conns    map[net.Conn]bool
	startups int
	accepted int
	asked    []string
	closed   bool
	wg       sync.WaitGroup
}

// Start makes a host that goes with the test.
func Start(t testing.TB, o Options) *Host {
	t.Helper()
	h, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

// New makes a host. ctx ends its commands; Close the host.
func New(ctx context.Context, o Options) (*Host, error) {
	if len(o.Keys) == 0 {
		key, err := NewKey()
		if err != nil {
			return nil, err
		}
		o.Keys = []ssh.Signer{key}
	}
	h := &Host{options: o, keys: o.Keys, conns: map[net.Conn]bool{}}
	h.begin = func(conn net.Conn) {
		h.wg.Go(func() {
			if h.admit(conn) {
				h.serve(ctx, conn)
			}
			h.dismiss(conn)
		})
	}
	if o.Unlisted {
		return h, nil
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("simulate a host: %w", err)
	}
	h.listener = l
	h.wg.Go(h.accept)
	return h, nil
}

// NewKey returns a new key of type ed25519.
func NewKey() (ssh.Signer, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return ssh.NewSignerFromKey(private)
}

// Port is where the host listens, on 127.0.0.1; 22 where it doesn't.
func (h *Host) Port() int {
	if h.listener == nil {
		return 22
	}
	return h.listener.Addr().(*net.TCPAddr).Port
}

// Key is the host's first public key.
func (h *Host) Key() ssh.PublicKey {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.keys[0].PublicKey()
}

// Target is how the host is reached, with its key. No identity of the person who runs the test is used.
func (h *Host) Target() link.Target {
	return link.Target{
		Name: "sim", Address: "127.0.0.1", Port: h.Port(), User: "alice", HostKey: string(ssh.MarshalAuthorizedKey(h.Key())),
		IdentityAgent: "none", IdentityFiles: []string{},
	}
}

// SetKeys gives the host other keys.
func (h *Host) SetKeys(keys ...ssh.Signer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.keys = keys
}

// Hang lets the host fall silent at a stage from now on; Nowhere ends that for what isn't at the stage yet.
func (h *Host) Hang(s Stage) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hang = s
}

func (h *Host) hangs(s Stage) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.hang == s
}

// Cut ends all connections, without a word.
func (h *Host) Cut() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.conns {
		c.Close()
	}
}

// Accepted is how many connections there ever were.
func (h *Host) Accepted() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.accepted
}

// Connected is how many there are now.
func (h *Host) Connected() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.conns)
}

// Asked lists what was asked for, each kind once, in the order of the first time: types of channels, of requests on them and of global requests.
func (h *Host) Asked() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.asked)
}

func (h *Host) note(kind string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !slices.Contains(h.asked, kind) {
		h.asked = append(h.asked, kind)
	}
}

// Close ends the host and waits until nothing of it is left. Commands are told by their ctx.
func (h *Host) Close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	if h.listener != nil {
		h.listener.Close()
	}
	h.Cut()
	h.wg.Wait()
}

func (h *Host) accept() {
	for {
		conn, err := h.listener.Accept()
		if err != nil {
			return
		}
		h.begin(conn)
	}
}

// admit counts a connection, unless there are too many that aren't logged in.
func (h *Host) admit(conn net.Conn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.accepted++
	if h.closed || h.options.MaxStartups > 0 && h.startups >= h.options.MaxStartups {
		return false
	}
	h.startups++
	h.conns[conn] = true
	return true
}

func (h *Host) dismiss(conn net.Conn) {
	h.mu.Lock()
	delete(h.conns, conn)
	h.mu.Unlock()
	conn.Close()
}

func (h *Host) startedUp() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.startups--
}

func (h *Host) config(conn net.Conn) *ssh.ServerConfig {
	wait := func() {
		if h.hangs(Login) {
			silence(conn)
		}
	}
	c := &ssh.ServerConfig{
		BannerCallback: func(ssh.ConnMetadata) string { return h.options.Banner },
		NoClientAuth:   true,
		NoClientAuthCallback: func(ssh.ConnMetadata) (*ssh.Permissions, error) {
			wait()
			if h.options.Login != nil {
				return nil, errors.New("a key is wanted")
			}
			return nil, nil
		},
		PublicKeyCallback: func(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			wait()
			return nil, h.options.Login(meta.User(), key)
		},
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, key := range h.keys {
		c.AddHostKey(key)
	}
	return c
}

// silence reads and says nothing until the connection is closed.
func silence(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"reconciler.dev/reconciler/pkg/drivers"
)

// Options are what a Dialer needs of its surroundings.
type Options struct {
	// Ask shows prompt, reads a secret from the person without showing it, and returns it. Where nil, keys that need a passphrase aren't used. Only one question
	// of a Dialer is open at a time, and time that a person takes isn't counted against a host.
	Ask func(ctx context.Context, prompt string) (secret string, err error)
	// Confirm shows question and returns whether the person said yes. Where nil, the answer is no.
	Confirm func(ctx context.Context, question string) (bool, error)
	// Note is told in one plain line what a person should know, as that a new host key was taken on trust. It may be nil.
	Note func(line string)
	// Connect makes the connection to the first host of the way, with the signature and the promises of net.Dialer's DialContext, which it is where nil.
	Connect func(ctx context.Context, network, address string) (net.Conn, error)
	// Getenv is asked for SSH_AUTH_SOCK. Where nil, there is no agent but that of Target.IdentityAgent.
	Getenv func(name string) string
	// Home is the directory with .ssh. Where empty, no file is used that the Target doesn't name.
	Home string
	// User is the account where the Target names none.
	User string
}

// Dialer connects to hosts. It remembers the keys for which it asked a passphrase, and nothing else. Its methods may be called concurrently.
type Dialer struct {
	Options
	asking chan struct{} // holds a token while a person is asked

	mu       sync.Mutex
	unlocked map[[32]byte]ssh.Signer // by the SHA-256 of the file
}

// New returns a Dialer.
func New(o Options) *Dialer {
	return &Dialer{Options: o, asking: make(chan struct{}, 1), unlocked: map[[32]byte]ssh.Signer{}}
}

const (
	defaultTimeout  = 15 * time.Second
	defaultInterval = 15 * time.Second
	defaultCount    = 3
)

// Dial connects to t, through its Jumps. ctx bounds that, not the connection. An error names the host, what was found and what to do; it wraps drivers.ErrUnreachable,
// and drivers.ErrPermanent too where only a person can mend it; a host key that isn't trusted is a *HostKeyError.
func (d *Dialer) Dial(ctx context.Context, t Target) (*Conn, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	via, err := d.approach(ctx, t)
	if err != nil {
		return nil, err
	}
	c, err := d.connect(ctx, via, t)
	if err != nil {
		return nil, err
	}
	go c.keepAlive(or(t.AliveInterval, defaultInterval), or(t.AliveCountMax, defaultCount))
	return c, nil
}

// approach connects to the last of t's jumps; there may be none.
func (d *Dialer) approach(ctx context.Context, t Target) (via *Conn, err error) {
	for _, jump := range t.Jumps {
		if via, err = d.connect(ctx, via, jump); err != nil {
			return nil, fmt.Errorf("go to host %s: %w", t, err)
		}
	}
	return via, nil
}

// connect goes from one host to the next. Where it can't, the whole chain is let go.
func (d *Dialer) connect(ctx context.Context, via *Conn, t Target) (*Conn, error) {
	h := &hop{dialer: d, target: t, via: via, user: or(t.User, d.User)}
	c, err := h.connect(ctx)
	if err != nil && via != nil {
		_ = via.Close() // never an error
	}
	return c, err
}

// Scan asks the host for its key, as a person has to compare it before the host is trusted: whatever is known of the host isn't asked, and nobody logs in. Its
// Jumps are verified and logged in to.
func (d *Dialer) Scan(ctx context.Context, t Target) (key ssh.PublicKey, fingerprint string, err error) {
	if err := t.check(); err != nil {
		return nil, "", err
	}
	via, err := d.approach(ctx, t)
	if err != nil {
		return nil, "", err
	}
	if via != nil {
		defer via.Close()
	}
	h := &hop{dialer: d, target: t, via: via, scan: true}
	c, err := h.connect(ctx)
	if err == nil {
		_ = c.Close() // not to be had: the callback for the key ends the handshake
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.scanned == nil {
		return nil, "", err
	}
	return h.scanned, Fingerprint(h.scanned), nil
}

// ask lets one caller at a time talk to the person, off the host's time.
func (d *Dialer) ask(ctx context.Context, limit *deadline, talk func() error) error {
	limit.pause()
	defer limit.resume()
	select {
	case d.asking <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-d.asking }()
	return talk()
}

func (d *Dialer) note(format string, args ...any) {
	if d.Note != nil {
		d.Note(fmt.Sprintf(format, args...))
	}
}

// check finds what no host could make good.
func (t Target) check() error {
	bad := func(format string, args ...any) error {
		return &problem{text: fmt.Sprintf("reach host %s: ", t) + fmt.Sprintf(format, args...), kinds: []error{drivers.ErrPermanent}}
	}
	switch t.StrictHostKeyChecking {
	case "", "yes", "accept-new", "ask", "no", "off":
	default:
		return bad("StrictHostKeyChecking is %q: it can be yes, accept-new, ask or no", t.StrictHostKeyChecking)
	}
	switch {
	case t.Address == "":
		return bad("it has no address")
	case t.Port < 0 || t.Port > 65535:
		return bad("%d is no port", t.Port)
	}
	for _, name := range []string{t.Address, t.HostKeyAlias} {
		if strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune("*?!,|#@", r) }) {
			return bad("%q can't be the name of a host", name)
		}
	}
	for _, jump := range t.Jumps {
		if len(jump.Jumps) > 0 {
			return bad("its jump %s has jumps of its own: they belong before it, in the one list", jump)
		}
		if err := jump.check(); err != nil {
			return err
		}
	}
	return nil
}

// endpoint is what to connect to.
func (t Target) endpoint() string {
	return net.JoinHostPort(t.Address, strconv.Itoa(or(t.Port, 22)))
}

// where is the host with its address, for messages.
func (t Target) where() string {
	if t.String() == t.Address && or(t.Port, 22) == 22 {
		return "host " + t.Address
	}
	return fmt.Sprintf("host %s (%s)", t, t.endpoint())
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// errTimeout is the cause of a context that a deadline ended.
var errTimeout = errors.New("time is up")

// deadline ends a context after a time that can be held.
type deadline struct {
	mu    sync.Mutex
	timer *time.Timer
	left  time.Duration
	since time.Time
}

func withDeadline(ctx context.Context, d time.Duration) (context.Context, *deadline, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	l := &deadline{left: d, since: time.Now(), timer: time.AfterFunc(d, func() { cancel(errTimeout) })}
	return ctx, l, func() {
		l.timer.Stop()
		cancel(context.Canceled)
	}
}

func (l *deadline) pause() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timer.Stop()
	l.left = max(0, l.left-time.Since(l.since))
}

func (l *deadline) resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.since = time.Now()
	l.timer.Reset(l.left)
}

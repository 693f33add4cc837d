package link

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/crypto/ssh"

	"reconciler.dev/reconciler/internal/plaintext"
)

// stage is how far a connection came, for the message where it doesn't get further.
type stage int32

const (
	connecting stage = iota
	greeting
	agreeing
	proving
)

// hop is one step of the way: from here, or from the host before, to a host that let us in.
type hop struct {
	dialer *Dialer
	target Target
	via    *Conn // nil: from here
	user   string

	limit *deadline
	wire  *wire
	stage atomic.Int32

	scan       bool // only look at the host's key
	identities *identities

	mu      sync.Mutex
	scanned ssh.PublicKey
	banner  string
	key     error // why the host's key isn't trusted
}

// connect makes the connection, proves the host and then ourselves.
func (h *hop) connect(ctx context.Context) (*Conn, error) {
	timeout := or(h.target.ConnectTimeout, defaultTimeout)
	ctx, limit, cancel := withDeadline(ctx, timeout)
	defer cancel()
	h.limit = limit
	config, err := h.config(ctx)
	if err != nil {
		return nil, err
	}
	raw, root, err := h.open(ctx)
	if err != nil {
		return nil, h.unopened(ctx, err)
	}
	// Nothing but closing the connection unblocks a handshake; closing one within another could wait for the outer one.
	stop := context.AfterFunc(ctx, func() { root.Close() })
	h.stage.Store(int32(greeting))
	h.wire = &wire{Conn: raw}
	conn, chans, reqs, err := ssh.NewClientConn(h.wire, h.target.endpoint(), config)
	if h.identities != nil {
		h.identities.close()
	}
	if !stop() && err == nil {
		err = ctx.Err() // its end came first, and the connection is closed
	}
	if err != nil {
		root.Close()
		return nil, h.unmade(ctx, err)
	}
	return newConn(h.target, ssh.NewClient(conn, chans, reqs), h.wire, root), nil
}

func (h *hop) open(ctx context.Context) (conn net.Conn, root io.Closer, err error) {
	if h.via != nil {
		conn, err = h.via.client.DialContext(ctx, "tcp", h.target.endpoint())
		return conn, h.via.root, err
	}
	dial := h.dialer.Connect
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	conn, err = dial(ctx, "tcp", h.target.endpoint())
	return conn, conn, err
}

func (h *hop) config(ctx context.Context) (*ssh.ClientConfig, error) {
	config := &ssh.ClientConfig{
		User:           h.user,
		BannerCallback: h.remember,
		AuthCallback:   func(state *ssh.ClientAuthContext) (ssh.AuthMethod, error) { return h.prove(ctx, state) },
	}
	if h.scan {
		config.HostKeyAlgorithms = known{}.algorithms()
		config.HostKeyCallback = func(_ string, _ net.Addr, key ssh.PublicKey) error {
			h.mu.Lock()
			h.scanned = key
			h.mu.Unlock()
			return errors.New("the key was seen")
		}
		return config, nil
	}
	trust, err := h.trust()
	if err != nil {
		return nil, err
	}
	config.HostKeyAlgorithms = trust.known.algorithms()
	config.HostKeyCallback = func(_ string, _ net.Addr, key ssh.PublicKey) error {
		err := trust.check(ctx, key)
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.key = err; err == nil {
			h.stage.Store(int32(proving))
		}
		return err
	}
	return config, nil
}

// remember keeps the last of what the host says before a login, cleaned and bounded.
func (h *hop) remember(message string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if line := plaintext.Line(message, 300); line != "" {
		h.banner = line
	}
	return nil
}

// unopened is why there is no connection at all.
func (h *hop) unopened(ctx context.Context, err error) error {
	where := h.target.where()
	if h.via != nil {
		where += " through " + h.via.target.where()
	}
	var open *ssh.OpenChannelError
	switch {
	case stopped(ctx, "reach "+where) != nil:
		return stopped(ctx, "reach "+where)
	case ctx.Err() != nil:
		return unreachable(errTimeout, "reach %s: no answer within %s: is it up, is that its address, and does nothing drop the packets?", where, or(h.target.ConnectTimeout, defaultTimeout))
	case h.via != nil && h.via.wire.broken.Load():
		return unreachable(err, "reach %s: the connection to there was lost: %s", where, ended(err))
	case errors.As(err, &open) && open.Reason == ssh.Prohibited:
		return refused(err, "reach %s: %s doesn't let anybody through to there: %s; its sshd_config must say AllowTcpForwarding yes (or local), and permit this place where it says PermitOpen",
			where, h.via.target, plaintext.Line(open.Message, 200))
	case errors.As(err, &open):
		return unreachable(err, "reach %s: %s can't connect there: %s; see to the address, and that sshd runs there", where, h.via.target, plaintext.Line(open.Message, 200))
	}
	return unreachable(err, "reach %s: %s", where, explain(err))
}

// unmade is why a connection didn't come to a login.
func (h *hop) unmade(ctx context.Context, err error) error {
	h.mu.Lock()
	key := h.key
	h.mu.Unlock()
	at := stage(h.stage.Load())
	if at == greeting && h.wire.greeted() {
		at = agreeing
	}
	where := h.target.where()
	var strangers *ssh.AlgorithmNegotiationError
	switch {
	case stopped(ctx, "reach "+where) != nil:
		return stopped(ctx, "reach "+where)
	case ctx.Err() != nil:
		return unreachable(errTimeout, "reach %s: connected, and then %s within %s%s", where, map[stage]string{
			greeting: "no greeting of an SSH server",
			agreeing: "no end of the key exchange",
			proving:  "no answer to the login",
		}[at], or(h.target.ConnectTimeout, defaultTimeout), h.says())
	case key != nil:
		return key
	case at == proving && !gone(err):
		return h.shut(err)
	case gone(err) && !h.wire.greeted():
		return unreachable(err, "reach %s: connected, and closed by it before it greeted: too many connections at once (MaxStartups in its sshd_config), or something that lets nobody in%s", where, h.says())
	case errors.As(err, &strangers):
		return refused(err, "reach %s: it and this program have no algorithm in common for the %s; its own are %s: it is old, or its sshd_config allows too few",
			where, plaintext.Line(strangers.What, 60), plaintext.Line(strings.Join(strangers.RequestedAlgorithms, ", "), 300))
	case strings.Contains(err.Error(), "overflow reading version string"):
		return refused(err, "reach %s: what answers there isn't SSH; correct the address or the port%s", where, h.says())
	}
	return unreachable(err, "reach %s: in the handshake: %s%s", where, ended(err), h.says())
}

// gone tells of an error whether it is the connection's own.
func gone(err error) bool {
	var op net.Error
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &op)
}

// says quotes what the host said before the login, or before it spoke SSH at all.
func (h *hop) says() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, said := range []string{h.banner, plaintext.Line(h.wire.preface(), maxOpening)} {
		if said != "" {
			return `; it says: "` + said + `"`
		}
	}
	return ""
}

// shut is why the host didn't let us in.
func (h *hop) shut(err error) error {
	where := h.target.where()
	said := ""
	if text := err.Error(); strings.Contains(text, "ssh: disconnect") {
		said = ", and ended the connection: " + clean(err)
		if !strings.Contains(text, "reason 2:") && !strings.Contains(text, "reason 14:") { // RFC 4253, section 11.1: protocol error, as after too many tries; no more methods
			return unreachable(err, "log in to %s as %s: it answered%s%s", where, h.user, said, h.says())
		}
	}
	if said != "" {
		said += "; where it only takes fewer tries (MaxAuthTries in its sshd_config), offer it fewer keys (IdentitiesOnly)"
	}
	return refused(err, "log in to %s as %s: %s%s%s", where, h.user, h.identities.summary(), said, h.says())
}

// Package link reaches hosts over SSH: it dials, proves who the host is and who we are, and runs commands whose stdio it hands on. What runs there, and what is
// said over that stdio, is the business of others.
//
// It must never talk to a host whose key isn't the one expected, never ask a host to forward an agent or a port (but for the one channel to the next host of a
// ProxyJump), never wait without a deadline, and never let bytes of the far side reach a terminal uncleaned. It reads keys, and never shows, copies or logs one.
package link

import (
	"context"
	"fmt"
	"io"
	"time"

	"reconciler.dev/reconciler/internal/plaintext"
)

// Opener starts commands on one host. *Conn is one.
type Opener interface {
	// Open starts a command, which the account's login shell on the host reads: see sshd(8). ctx bounds the start, not the command. The error wraps
	// drivers.ErrUnreachable where the link is what failed.
	Open(ctx context.Context, command string) (Stream, error)
}

// Stream is a running command: Read is its stdout, Write its stdin. One goroutine may read while another writes; Close may be called at any time, by anybody.
type Stream interface {
	io.Reader
	io.Writer
	// CloseWrite ends the command's stdin. Its output can still be read.
	CloseWrite() error
	// Stderr returns the last of what the command wrote to its stderr, a few KiB at most. It is the far side's text: clean it before it is shown.
	Stderr() string
	// Wait waits for the command's end, and returns nil for status 0, an *ExitError for any other end, or an error that wraps drivers.ErrUnreachable where
	// the link was lost and the end isn't known. Its stdout must be read meanwhile, or closed.
	Wait() error
	// Close lets go of the command. Whoever reads, writes or waits is told at once. What the command does then is its own business: sshd closes its stdio.
	Close() error
}

// ExitError is how a command ended that didn't succeed.
type ExitError struct {
	// Status is the exit status; -1 where the host named none.
	Status int
	// Signal is the name of the signal that ended it, without SIG, as in RFC 4254, section 6.10; empty where none did. It is the far side's text.
	Signal string
}

func (e *ExitError) Error() string {
	switch {
	case e.Signal != "":
		return "the command was ended by signal " + plaintext.Line(e.Signal, 20)
	case e.Status < 0:
		return "the command ended, and the host didn't say how"
	}
	return fmt.Sprintf("the command exited with status %d", e.Status)
}

// Target is one host and how it is reached, with everything resolved: the fields mean what ssh_config(5) says of the keywords of their names, with files as
// absolute paths. Only Address is required.
type Target struct {
	// Name is how messages call the host; Address where empty.
	Name string
	// Address is a DNS name or an IP address; Port is 22 where 0; User is the account there, that of this process where empty.
	Address string
	Port    int
	User    string

	// IdentityFiles are tried in their order, after the keys of the agent; ssh's defaults in ~/.ssh where nil.
	IdentityFiles []string
	// CertificateFiles are user certificates for keys of files or the agent; FILE-cert.pub beside an identity file is found without.
	CertificateFiles []string
	// IdentitiesOnly offers those keys of the agent only that IdentityFiles or CertificateFiles name.
	IdentitiesOnly bool
	// IdentityAgent is the agent's socket; "none" for no agent; that of SSH_AUTH_SOCK where empty.
	IdentityAgent string

	// HostKey is the one key that the host may have, in the format of authorized_keys ("ssh-ed25519 AAAA…"); then no known_hosts file is asked.
	HostKey string
	// KnownHostsFiles are read in their order, and new keys are written to the first; ssh's four where nil.
	KnownHostsFiles []string
	// HostKeyAlias is the name to look up in them, in place of the address and port.
	HostKeyAlias string
	// StrictHostKeyChecking is yes, accept-new, ask or no; ask where empty. A key that changed or was revoked is refused whatever it says.
	StrictHostKeyChecking string

	// ConnectTimeout bounds the whole way to a connection that is ready for commands, hop by hop; 15 seconds where 0.
	ConnectTimeout time.Duration
	// AliveInterval is the silence after which the host is asked for a sign of life; 15 seconds where 0. After a silence of AliveCountMax intervals, 3 where 0 and 2
	// at least, the connection is given up.
	AliveInterval time.Duration
	AliveCountMax int

	// Jumps are the hosts to go through, the nearest first; each is verified and authenticated for itself, by its own fields.
	Jumps []Target
}

// String is how messages call the host.
func (t Target) String() string {
	if t.Name != "" {
		return t.Name
	}
	return t.Address
}

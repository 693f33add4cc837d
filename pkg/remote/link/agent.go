package link

import (
	"context"
	"fmt"
	"io"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// agentSocket is where the agent of a target listens; empty where it has none.
func (d *Dialer) agentSocket(t Target) string {
	switch t.IdentityAgent {
	case "none":
		return ""
	case "", "SSH_AUTH_SOCK":
		if d.Getenv == nil {
			return ""
		}
		return d.Getenv("SSH_AUTH_SOCK")
	}
	return t.IdentityAgent
}

// agentKey is a key, or a certificate, that an agent holds.
type agentKey struct {
	pub    ssh.PublicKey
	signer ssh.Signer
}

// agentKeys asks an agent for its keys. The connection is wanted for signing with them; it is closed when ctx ends.
func agentKeys(ctx context.Context, socket string) ([]agentKey, io.Closer, error) {
	conn, err := dialAgent(ctx, socket)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	closer := closerFunc(func() error {
		stop()
		return conn.Close()
	})
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		closer.Close()
		return nil, nil, fmt.Errorf("list its keys: %w", err)
	}
	var keys []agentKey
	for _, s := range signers {
		if pub, err := ssh.ParsePublicKey(s.PublicKey().Marshal()); err == nil { // of a type that is known here
			keys = append(keys, agentKey{pub, s})
		}
	}
	return keys, closer, nil
}

type closerFunc func() error

func (f closerFunc) Close() error { return f() }

package sshlab

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// Key is a key pair.
type Key struct {
	ssh.Signer
	private []byte // as a file of ssh-keygen(1)
}

// NewKey makes an Ed25519 key. With a passphrase its file is encrypted.
func NewKey(passphrase string) (*Key, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	var block *pem.Block
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(private, "")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte(passphrase))
	}
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	return &Key{signer, pem.EncodeToMemory(block)}, nil
}

// Private is the content of its file.
func (k *Key) Private() []byte { return k.private }

// Line is its public half, as a line of authorized_keys, without the end.
func (k *Key) Line() string { return publicLine(k.PublicKey()) }

func publicLine(key ssh.PublicKey) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

// Write writes path and path.pub.
func (k *Key) Write(path string) error {
	if err := os.WriteFile(path, k.private, 0o600); err != nil {
		return err
	}
	return os.WriteFile(path+".pub", []byte(k.Line()+"\n"), 0o644)
}

// Certify makes a certificate that says, for an hour, that subject's holder may log in as one of users, and returns the content of its file.
func (k *Key) Certify(subject *Key, users ...string) ([]byte, error) {
	c := &ssh.Certificate{
		Key: subject.PublicKey(), CertType: ssh.UserCert, KeyId: "sshlab", ValidPrincipals: users,
		ValidAfter: uint64(time.Now().Add(-time.Minute).Unix()), ValidBefore: uint64(time.Now().Add(time.Hour).Unix()),
		Permissions: ssh.Permissions{Extensions: map[string]string{"permit-pty": ""}},
	}
	if err := c.SignCert(rand.Reader, k); err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	return []byte(publicLine(c) + "\n"), nil
}

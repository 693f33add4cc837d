package link

import (
	"strings"

	"golang.org/x/crypto/ssh"
)

// Fingerprint names a key as people compare it, by its type and its SHA-256: "ssh-ed25519 SHA256:…", as ssh-keygen -l does. That of a certificate is that of the
// key it certifies.
func Fingerprint(key ssh.PublicKey) string {
	if c, ok := key.(*ssh.Certificate); ok {
		key = c.Key
	}
	return key.Type() + " " + ssh.FingerprintSHA256(key)
}

// Line is a key as Target.HostKey has it, and authorized_keys: "ssh-ed25519 AAAA…". That of a certificate is that of the key it certifies.
func Line(key ssh.PublicKey) string {
	if c, ok := key.(*ssh.Certificate); ok {
		key = c.Key
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

package link

import "golang.org/x/crypto/ssh"

// Fingerprint names a key as people compare it, by its type and its SHA-256: "ssh-ed25519 SHA256:…", as ssh-keygen -l does. That of a certificate is that of the
// key it certifies.
func Fingerprint(key ssh.PublicKey) string {
	if c, ok := key.(*ssh.Certificate); ok {
		key = c.Key
	}
	return key.Type() + " " + ssh.FingerprintSHA256(key)
}

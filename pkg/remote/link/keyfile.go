package link

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/crypto/ssh"
)

// maxKeyFile is the size of the largest file that is read as a key.
const maxKeyFile = 1 << 20

// keyFile is what an identity file holds.
type keyFile struct {
	path string
	pub  ssh.PublicKey // nil where only the passphrase would tell
	// signer is nil where there is only the public key, whose private one is with the agent, perhaps.
	signer func(ctx context.Context, limit *deadline) (ssh.Signer, error)
}

// keyFiles are what ssh tries where nothing is said: see IdentityFile in ssh_config(5).
func keyFiles(home string) []string {
	if home == "" {
		return nil
	}
	var files []string
	for _, name := range []string{"id_rsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk"} {
		files = append(files, filepath.Join(home, ".ssh", name))
	}
	return files
}

// readKeyFile reads a private key, or a public one. One that needs a passphrase is asked for when it is to sign.
func (d *Dialer) readKeyFile(path string) (keyFile, error) {
	text, err := readSmall(path, true)
	if err != nil {
		return keyFile{}, err
	}
	signer, err := ssh.ParsePrivateKey(text)
	if err == nil {
		return keyFile{path, signer.PublicKey(), func(context.Context, *deadline) (ssh.Signer, error) { return signer, nil }}, nil
	}
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) {
		pub := locked.PublicKey
		if pub == nil {
			pub, _ = readPublic(path + ".pub") // without it the passphrase is asked for sooner
		}
		if d.Ask == nil && d.open(text) == nil {
			return keyFile{path, pub, nil}, errors.New("it needs a passphrase, and there is nobody to ask; give it to the agent: ssh-add " + path)
		}
		return keyFile{path, pub, func(ctx context.Context, limit *deadline) (ssh.Signer, error) {
			return d.unlock(ctx, limit, path, text)
		}}, nil
	}
	if pub, _, _, _, e := ssh.ParseAuthorizedKey(text); e == nil {
		return keyFile{path: path, pub: pub}, nil
	}
	return keyFile{}, fmt.Errorf("it isn't a key that is understood here: %w", err)
}

// readSmall reads a file that is meant to be small; a private one must be nobody else's to read, as with ssh.
func readSmall(path string, private bool) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	switch {
	case !info.Mode().IsRegular() || info.Size() > maxKeyFile:
		return nil, errors.New("it isn't a file with a key")
	case private && exposed(info) && filepath.Ext(path) != ".pub":
		return nil, fmt.Errorf("others can read it (its mode is %04o), so it isn't used: chmod 600 %s", info.Mode().Perm(), path)
	}
	return os.ReadFile(path)
}

func readPublic(path string) (ssh.PublicKey, error) {
	text, err := readSmall(path, false)
	if err != nil {
		return nil, err
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(text)
	return key, err
}

// readCertificate reads a user certificate.
func readCertificate(path string) (*ssh.Certificate, error) {
	key, err := readPublic(path)
	if err != nil {
		return nil, err
	}
	cert, ok := key.(*ssh.Certificate)
	if !ok {
		return nil, errors.New("it isn't a certificate")
	}
	return cert, nil
}

// open returns a key whose passphrase was given before, or nil.
func (d *Dialer) open(text []byte) ssh.Signer {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.unlocked[sha256.Sum256(text)]
}

// unlock asks for the passphrase of a key, three times at most, unless it was given before.
func (d *Dialer) unlock(ctx context.Context, limit *deadline, path string, text []byte) (signer ssh.Signer, err error) {
	err = d.ask(ctx, limit, func() error {
		if signer = d.open(text); signer != nil {
			return nil
		}
		if d.Ask == nil {
			return errors.New("there is nobody to ask for its passphrase")
		}
		prompt := "Passphrase of " + path + ": "
		for range 3 {
			secret, err := d.Ask(ctx, prompt)
			if err != nil {
				return fmt.Errorf("ask for its passphrase: %w", err)
			}
			signer, err = ssh.ParsePrivateKeyWithPassphrase(text, []byte(secret))
			if err == nil {
				d.mu.Lock()
				d.unlocked[sha256.Sum256(text)] = signer
				d.mu.Unlock()
				return nil
			}
			if !errors.Is(err, x509.IncorrectPasswordError) {
				return err
			}
			prompt = "That isn't it. Passphrase of " + path + ": "
		}
		return errors.New("three times the passphrase was another")
	})
	return signer, err
}

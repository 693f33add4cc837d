package link_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/remote/link"
	"reconciler.dev/reconciler/test/simhost"
)

// shell is a host's account for these tests.
func shell(ctx context.Context, command string, stdin io.Reader, stdout, stderr io.Writer) int {
	name, arg, _ := strings.Cut(command, " ")
	switch name {
	case "cat":
		io.Copy(stdout, stdin)
		return 0
	case "say":
		fmt.Fprint(stdout, arg)
		return 0
	case "complain":
		fmt.Fprint(stderr, arg)
		return 3
	case "vanish":
		return -1
	case "flood":
		for i := range 100_000 {
			fmt.Fprintf(stderr, "line %d\n", i)
		}
		return 0
	case "wait":
		fmt.Fprint(stdout, "waiting")
		<-ctx.Done()
		return 0
	}
	return 127
}

// simulate makes a host with that account.
func simulate(t *testing.T, o simhost.Options) *simhost.Host {
	t.Helper()
	o.Handle = shell
	return simhost.Start(t, o)
}

func newKey(t *testing.T) ssh.Signer {
	t.Helper()
	k, err := simhost.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// dial connects, and closes with the test.
func dial(t *testing.T, d *link.Dialer, target link.Target) *link.Conn {
	t.Helper()
	c, err := d.Dial(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// output runs a command and returns what it said.
func output(t *testing.T, c link.Opener, command string) string {
	t.Helper()
	s, err := c.Open(t.Context(), command)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	said, err := io.ReadAll(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(); err != nil {
		t.Fatalf("%s: %v: %s", command, err, s.Stderr())
	}
	return string(said)
}

// wants checks that an error is of the kinds, and says all of parts in a single line that a terminal can show.
func wants(t *testing.T, err error, kinds []error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("there is no error")
	}
	for _, kind := range []error{drivers.ErrUnreachable, drivers.ErrPermanent, link.ErrNoSession, context.Canceled} {
		want := false
		for _, k := range kinds {
			want = want || errors.Is(k, kind)
		}
		if errors.Is(err, kind) != want {
			t.Errorf("that it is %v should be %v: %v", kind, want, err)
		}
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("it doesn't say %q: %v", part, err)
		}
	}
	if strings.ContainsAny(err.Error(), "\x1b\a\r\n\x00") {
		t.Errorf("it has control characters: %q", err)
	}
}

var (
	gone     = []error{drivers.ErrUnreachable}
	hopeless = []error{drivers.ErrUnreachable, drivers.ErrPermanent}
)

// keyFile writes a private key in OpenSSH's own format, with a passphrase where there is one.
func keyFile(t *testing.T, path string, private any, passphrase string) string {
	t.Helper()
	var block *pem.Block
	var err error
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(private, "test")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "test", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, string(pem.EncodeToMemory(block)))
	return path
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

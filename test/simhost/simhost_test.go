package simhost_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"

	"reconciler.dev/reconciler/test/simhost"
)

// client connects by the library alone.
func client(t *testing.T, port int, auth ...ssh.AuthMethod) (*ssh.Client, error) {
	t.Helper()
	return ssh.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), &ssh.ClientConfig{User: "alice", Auth: auth, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 5 * time.Second})
}

func TestHostRunsCommands(t *testing.T) {
	ended := make(chan struct{})
	h := simhost.Start(t, simhost.Options{Handle: func(ctx context.Context, command string, stdin io.Reader, stdout, stderr io.Writer) int {
		if command == "wait" {
			<-ctx.Done()
			close(ended)
			return 0
		}
		text, _ := io.ReadAll(stdin)
		io.WriteString(stdout, strings.ToUpper(string(text)))
		io.WriteString(stderr, command)
		return len(text)
	}})
	c, err := client(t, h.Port())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr strings.Builder
	s.Stdin, s.Stdout, s.Stderr = strings.NewReader("abc"), &stdout, &stderr
	var exit *ssh.ExitError
	if err := s.Run("a command"); !errors.As(err, &exit) || exit.ExitStatus() != 3 || stdout.String() != "ABC" || stderr.String() != "a command" {
		t.Errorf("got %v, %q, %q", err, &stdout, &stderr)
	}

	if s, err = c.NewSession(); err != nil {
		t.Fatal(err)
	}
	if err := s.Start("wait"); err != nil {
		t.Fatal(err)
	}
	h.Cut()
	<-ended
	if h.Accepted() != 1 {
		t.Errorf("%d connections", h.Accepted())
	}
}

func TestLoginDecides(t *testing.T) {
	right, wrong := key(t), key(t)
	h := simhost.Start(t, simhost.Options{Login: func(user string, k ssh.PublicKey) error {
		if user == "alice" && ssh.FingerprintSHA256(k) == ssh.FingerprintSHA256(right.PublicKey()) {
			return nil
		}
		return errors.New("no")
	}})
	if _, err := client(t, h.Port(), ssh.PublicKeys(wrong)); err == nil {
		t.Error("the wrong key got in")
	}
	if _, err := client(t, h.Port()); err == nil {
		t.Error("no key got in")
	}
	c, err := client(t, h.Port(), ssh.PublicKeys(wrong, right))
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func key(t *testing.T) ssh.Signer {
	t.Helper()
	k, err := simhost.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestProxyHoldsBytesBackAndDeliversThem(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go io.Copy(conn, conn)
		}
	}()
	p := simhost.StartProxy(t, l.Addr().String())
	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p.Port())))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	echo := func(text string) error {
		io.WriteString(conn, text)
		conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		got := make([]byte, len(text))
		if _, err := io.ReadFull(conn, got); err != nil {
			return err
		}
		if string(got) != text {
			t.Errorf("%q came back as %q", text, got)
		}
		return nil
	}
	if err := echo("one"); err != nil {
		t.Fatal(err)
	}
	p.Silence(true)
	var timeout net.Error
	if err := echo("two"); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("while it is silent: %v", err)
	}
	p.Silence(false)
	conn.SetReadDeadline(time.Time{})
	got := make([]byte, 3)
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "two" {
		t.Errorf("afterwards: %q, %v", got, err)
	}
	p.Cut()
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("it wasn't cut")
	}
}

// TestManyHosts: hundreds are cheap enough for a test.
func TestManyHosts(t *testing.T) {
	const hosts = 200
	made := make([]*simhost.Host, hosts)
	for i := range made {
		made[i] = simhost.Start(t, simhost.Options{Handle: func(context.Context, string, io.Reader, io.Writer, io.Writer) int { return 0 }})
	}
	for _, h := range made {
		c, err := client(t, h.Port())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
}

func TestUnlistedHostIsReachedInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := simhost.Start(t, simhost.Options{Unlisted: true, Handle: func(context.Context, string, io.Reader, io.Writer, io.Writer) int { return 4 }})
		conn, err := h.Connect(t.Context(), "tcp", "")
		if err != nil {
			t.Fatal(err)
		}
		sc, chans, reqs, err := ssh.NewClientConn(conn, "", &ssh.ClientConfig{HostKeyCallback: ssh.FixedHostKey(h.Key())})
		if err != nil {
			t.Fatal(err)
		}
		c := ssh.NewClient(sc, chans, reqs)
		defer c.Close()
		run := func() error {
			s, err := c.NewSession()
			if err != nil {
				return err
			}
			return s.Run("x")
		}
		var exit *ssh.ExitError
		if err := run(); !errors.As(err, &exit) || exit.ExitStatus() != 4 {
			t.Errorf("got %v", err)
		}
		h.Silence(true)
		begun := time.Now()
		time.AfterFunc(time.Hour, func() { h.Silence(false) })
		if err := run(); !errors.As(err, &exit) || time.Since(begun) != time.Hour {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}
	})
}

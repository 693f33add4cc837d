package link_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"

	"reconciler.dev/reconciler/internal/freeport"
	"reconciler.dev/reconciler/pkg/drivers"
	"reconciler.dev/reconciler/pkg/remote/link"
	"reconciler.dev/reconciler/test/simhost"
)

func TestDialAndRun(t *testing.T) {
	h := simulate(t, simhost.Options{})
	c := dial(t, link.New(link.Options{}), h.Target())
	if got := output(t, c, "say hello"); got != "hello" {
		t.Errorf("got %q", got)
	}
	if c.Err() != nil {
		t.Errorf("while it is up: %v", c.Err())
	}
	if asked := h.Asked(); !slices.Equal(asked, []string{"session", "exec"}) {
		t.Errorf("the host was asked for %v", asked)
	}
}

func TestTargetsThatNoHostCanMakeGood(t *testing.T) {
	for name, c := range map[string]struct {
		target link.Target
		says   string
	}{
		"no address":            {link.Target{Name: "web"}, "no address"},
		"no port":               {link.Target{Address: "web", Port: 70_000}, "70000"},
		"a word":                {link.Target{Address: "web", StrictHostKeyChecking: "maybe"}, "accept-new"},
		"a name with a pattern": {link.Target{Address: "*.example"}, "can't be the name"},
		"an alias of two lines": {link.Target{Address: "web", HostKeyAlias: "a\nb"}, "can't be the name"},
		"jumps of a jump":       {link.Target{Address: "web", Jumps: []link.Target{{Address: "a", Jumps: []link.Target{{Address: "b"}}}}}, "one list"},
		"a jump without":        {link.Target{Address: "web", Jumps: []link.Target{{Name: "a"}}}, "no address"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := link.New(link.Options{}).Dial(t.Context(), c.target)
			wants(t, err, []error{drivers.ErrPermanent}, c.says)
			_, _, err = link.New(link.Options{}).Scan(t.Context(), c.target)
			wants(t, err, []error{drivers.ErrPermanent}, c.says)
		})
	}
	bad := simulate(t, simhost.Options{}).Target()
	bad.HostKey = "SHA256:no key"
	_, err := link.New(link.Options{}).Dial(t.Context(), bad)
	wants(t, err, hopeless, "hostKey isn't a public key")
}

// TestNothingWaitsForEver: at whatever stage a host falls silent, the deadline ends the wait, and so does the caller.
func TestNothingWaitsForEver(t *testing.T) {
	for _, c := range []struct {
		name  string
		stage simhost.Stage
		says  string
	}{
		{"greeting", simhost.Greeting, "no greeting of an SSH server"},
		{"key exchange", simhost.KeyExchange, "no end of the key exchange"},
		{"login", simhost.Login, "no answer to the login"},
		{"session", simhost.Session, "start a command"},
		{"command", simhost.Command, "start a command"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := simulate(t, simhost.Options{Unlisted: true})
				h.Hang(c.stage)
				reach := func(ctx context.Context, timeout, after time.Duration) error {
					begun := time.Now()
					defer func() {
						if took := time.Since(begun); took != after {
							t.Errorf("it took %s, want %s", took, after)
						}
					}()
					target := h.Target()
					target.ConnectTimeout = timeout
					conn, err := link.New(link.Options{Connect: h.Connect}).Dial(ctx, target)
					if err != nil {
						return err
					}
					defer conn.Close()
					_, err = conn.Open(ctx, "say x")
					return err
				}
				wants(t, reach(t.Context(), time.Minute, time.Minute), gone, "within 1m0s", c.says)
				wants(t, reach(t.Context(), 0, 15*time.Second), gone, "within 15s", c.says)

				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				err := reach(ctx, time.Hour, time.Second)
				wants(t, err, gone, "no answer in the time")
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("the caller's own deadline: %v", err)
				}

				ctx, cancel = context.WithCancel(t.Context())
				time.AfterFunc(time.Second, cancel)
				wants(t, reach(ctx, time.Hour, time.Second), []error{context.Canceled})
			})
		})
	}
}

func TestUnreachable(t *testing.T) {
	for name, c := range map[string]struct {
		target link.Target
		says   []string
	}{
		"nobody listens":    {link.Target{Name: "gpu-1", Address: "127.0.0.1", Port: freeport.Port(t)}, []string{"reach host gpu-1 (127.0.0.1:", "connection refused", "sshd"}},
		"there is no such":  {link.Target{Address: "gpu-1.invalid"}, []string{"reach host gpu-1.invalid:", "no such host"}},
		"the packets drown": {link.Target{Address: "192.0.2.1", ConnectTimeout: 50 * time.Millisecond}, []string{"reach host 192.0.2.1: "}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := link.New(link.Options{}).Dial(t.Context(), c.target)
			wants(t, err, gone, c.says...)
			_, _, err = link.New(link.Options{}).Scan(t.Context(), c.target)
			wants(t, err, gone, c.says...)
		})
	}
}

// TestWhatAnswersIsNoSSHServer: what speaks first, and what never stops.
func TestWhatAnswersIsNoSSHServer(t *testing.T) {
	for name, c := range map[string]struct {
		says  string
		kinds []error
		part  string
	}{
		"it closes at once":     {"", gone, "before it greeted"},
		"a web server":          {"HTTP/1.1 400 \x1b[31mBad Request\r\n\r\n", gone, `it says: "HTTP/1.1 400 \x1b[31mBad Request"`},
		"lines without an end":  {strings.Repeat("x", 1<<20), hopeless, "isn't SSH"},
		"an old protocol":       {"SSH-1.5-old\r\n", gone, "handshake"},
		"rubbish after a greet": {"SSH-2.0-x\r\n" + strings.Repeat("\xff", 1<<16), gone, "handshake"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				if c.says != "" { // what isn't read yet when it closes would take back what it said
					if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
						t.Error(err)
					}
					io.WriteString(conn, c.says)
				}
			}()
			_, err = link.New(link.Options{}).Dial(t.Context(), link.Target{Address: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, KnownHostsFiles: []string{}})
			wants(t, err, c.kinds, c.part)
		})
	}
}

func TestTooManyStartups(t *testing.T) {
	h := simulate(t, simhost.Options{MaxStartups: 1})
	h.Hang(simhost.Login)
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, err := link.New(link.Options{}).Dial(ctx, h.Target())
		first <- err
	}()
	for h.Connected() == 0 {
		time.Sleep(time.Millisecond)
	}
	_, err := link.New(link.Options{}).Dial(t.Context(), h.Target())
	wants(t, err, gone, "MaxStartups")
	cancel()
	wants(t, <-first, []error{context.Canceled})
}

func TestScanShowsTheKeyAndTrustsNothing(t *testing.T) {
	h := simulate(t, simhost.Options{Login: func(string, ssh.PublicKey) error { return errors.New("nobody") }})
	target := h.Target()
	target.HostKey = "" // and a known_hosts file that can't be read isn't asked
	target.KnownHostsFiles = []string{t.TempDir()}
	key, fingerprint, err := link.New(link.Options{}).Scan(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	if fingerprint != link.Fingerprint(h.Key()) || link.Fingerprint(key) != fingerprint {
		t.Errorf("got %s, want %s", fingerprint, link.Fingerprint(h.Key()))
	}
	if len(h.Asked()) > 0 {
		t.Errorf("the host was asked for %v", h.Asked())
	}
}

func TestJumps(t *testing.T) {
	first, second, last := simulate(t, simhost.Options{Forward: true}), simulate(t, simhost.Options{Forward: true}), simulate(t, simhost.Options{})
	chain := func() link.Target {
		target := last.Target()
		a, b := first.Target(), second.Target()
		a.Name, b.Name = "outer", "inner"
		target.Jumps = []link.Target{a, b}
		return target
	}
	d := link.New(link.Options{})

	c := dial(t, d, chain())
	if got := output(t, c, "say through"); got != "through" {
		t.Errorf("got %q", got)
	}
	for _, jump := range []*simhost.Host{first, second} {
		if !slices.Equal(jump.Asked(), []string{"direct-tcpip"}) {
			t.Errorf("a jump was asked for %v", jump.Asked())
		}
	}
	key, _, err := d.Scan(t.Context(), chain())
	if err != nil || link.Fingerprint(key) != link.Fingerprint(last.Key()) {
		t.Errorf("scan: %v, %v", key, err)
	}

	t.Run("each is verified for itself", func(t *testing.T) {
		target := chain()
		target.Jumps[1].HostKey = string(ssh.MarshalAuthorizedKey(newKey(t).PublicKey()))
		_, err := d.Dial(t.Context(), target)
		wants(t, err, hopeless, "go to host sim: reach host inner", "isn't the one that is known")
	})
	t.Run("the end can't be reached from there", func(t *testing.T) {
		target := chain()
		target.Port = 1
		_, err := d.Dial(t.Context(), target)
		wants(t, err, gone, "through host inner", "can't connect there", "connection refused")
	})
	t.Run("one lets nobody through", func(t *testing.T) {
		target := last.Target()
		target.Jumps = []link.Target{last.Target()}
		_, err := d.Dial(t.Context(), target)
		wants(t, err, hopeless, "AllowTcpForwarding")
	})
	t.Run("one hangs", func(t *testing.T) {
		second.Hang(simhost.Session)
		defer second.Hang(simhost.Nowhere)
		target := chain()
		target.ConnectTimeout = 300 * time.Millisecond
		_, err := d.Dial(t.Context(), target)
		wants(t, err, gone, "through host inner", "within 300ms")
	})
	t.Run("the end hangs", func(t *testing.T) {
		last.Hang(simhost.KeyExchange)
		defer last.Hang(simhost.Nowhere)
		target := chain()
		target.ConnectTimeout = 300 * time.Millisecond
		_, err := d.Dial(t.Context(), target)
		wants(t, err, gone, "reach host sim", "key exchange within 300ms")
	})
	t.Run("one goes away", func(t *testing.T) {
		first.Cut()
		<-c.Done()
		wants(t, c.Err(), gone, "lost")
	})
	t.Run("none is left behind", func(t *testing.T) {
		c := dial(t, d, chain())
		c.Close()
		for _, h := range []*simhost.Host{first, second, last} {
			for h.Connected() > 0 {
				time.Sleep(time.Millisecond)
			}
		}
	})
}

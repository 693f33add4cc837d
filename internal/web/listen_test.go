package web_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"reconciler.dev/reconciler/internal/web"
	"reconciler.dev/reconciler/internal/web/webtest"
	"reconciler.dev/reconciler/pkg/spec"
)

func TestParseAddress(t *testing.T) {
	for in, want := range map[string]struct {
		text  string
		local bool
	}{
		"127.0.0.1:9640": {"127.0.0.1:9640", true}, "localhost:0": {"localhost:0", true}, "[::1]:9640": {"[::1]:9640", true}, "127.9.9.9:1": {"127.9.9.9:1", true},
		":9640": {":9640", false}, "0.0.0.0:9640": {"0.0.0.0:9640", false}, "[::]:1": {"[::]:1", false}, "10.0.0.1:80": {"10.0.0.1:80", false}, "unix:/run/r.sock": {"unix:/run/r.sock", true},
	} {
		a, err := web.ParseAddress(in)
		if err != nil || a.String() != want.text || a.Local() != want.local {
			t.Errorf("%s: %v, local %v, %v", in, a, a.Local(), err)
		}
	}
	for in, want := range map[string]string{
		"9640": "write HOST:PORT", "127.0.0.1:": "no port", "127.0.0.1:65536": "no port", "127.0.0.1:http": "no port", "example.com:80": "is a name", "unix:": "names no file",
		"unix:/" + strings.Repeat("x", 120): "too long",
	} {
		if _, err := web.ParseAddress(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
	}
}

func address(t *testing.T, s string) web.Address {
	t.Helper()
	a, err := web.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestReadToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	for _, c := range []struct {
		content string
		mode    os.FileMode
		want    string
	}{
		{"0123456789abcdef\n", 0o600, ""}, {"0123456789abcdef", 0o400, ""}, {"0123456789abcdef", 0o640, "others may read"}, {"0123456789abcdef", 0o604, "chmod 600"},
		{"short", 0o600, "guess"}, {"", 0o600, "guess"}, {"0123456789 abcdef", 0o600, "printable"}, {"0123456789abcdéf", 0o600, "printable"}, {strings.Repeat("x", 5000), 0o600, "longer"},
	} {
		if err := os.WriteFile(file, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, c.mode); err != nil {
			t.Fatal(err)
		}
		token, err := web.ReadToken(file)
		switch {
		case c.want == "" && (err != nil || token.Reveal() != "0123456789abcdef"):
			t.Errorf("%q with mode %o: %v", c.content, c.mode, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%q with mode %o: %v, want %q", c.content, c.mode, err, c.want)
		case err != nil && len(c.content) > 10 && strings.Contains(err.Error(), c.content[:10]):
			t.Errorf("the token is told: %v", err)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := web.ReadToken(t.TempDir()); err == nil {
		t.Error("a folder is a token")
	}
}

const token = "0123456789abcdef"

// TestGuard: who is let in, and what becomes of the others.
func TestGuard(t *testing.T) {
	for _, c := range []struct {
		name, listen, token string
		method, host        string
		auth                string
		want                int
	}{
		{"loopback", "127.0.0.1:9640", "", "GET", "127.0.0.1:9640", "", 200},
		{"its name", "127.0.0.1:9640", "", "GET", "LocalHost:9640", "", 200},
		{"IPv6", "[::1]:9640", "", "HEAD", "[::1]:9640", "", 200},
		{"through a tunnel with another port", "127.0.0.1:9640", "", "GET", "localhost:8080", "", 200},
		{"a page's own name that points here", "127.0.0.1:9640", "", "GET", "evil.example.com:9640", "", 421},
		{"a name that only begins like ours", "127.0.0.1:9640", "", "GET", "localhost.evil.example.com", "", 421},
		{"an address that isn't ours", "127.0.0.1:9640", "", "GET", "10.0.0.1:9640", "", 421},
		{"no name", "127.0.0.1:9640", "", "GET", "", "", 421},
		{"a change", "127.0.0.1:9640", "", "POST", "localhost", "", 405},
		{"a preflight", "127.0.0.1:9640", "", "OPTIONS", "localhost", "", 405},
		{"a socket", "unix:/run/r.sock", "", "GET", "whatever", "", 200},
		{"everywhere, with the token", "0.0.0.0:9640", token, "GET", "gpu.example.com", "Bearer " + token, 200},
		{"in any case", "0.0.0.0:9640", token, "GET", "gpu.example.com", "bearer  " + token, 200},
		{"as a browser does", "0.0.0.0:9640", token, "GET", "gpu.example.com", "Basic YW5uOjAxMjM0NTY3ODlhYmNkZWY=", 200},
		{"without it", "0.0.0.0:9640", token, "GET", "gpu.example.com", "", 401},
		{"with another", "0.0.0.0:9640", token, "GET", "gpu.example.com", "Bearer " + token + "0", 401},
		{"with a part of it", "0.0.0.0:9640", token, "GET", "gpu.example.com", "Bearer " + token[:15], 401},
		{"a change without it", "0.0.0.0:9640", token, "POST", "gpu.example.com", "", 401},
		{"loopback where there is one", "127.0.0.1:9640", token, "GET", "localhost", "", 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, err := web.NewGuard(address(t, c.listen), spec.NewSecret(c.token))
			if err != nil {
				t.Fatal(err)
			}
			w := httptest.NewRecorder()
			r := httptest.NewRequest(c.method, "/metrics", nil)
			if r.Host = c.host; c.auth != "" {
				r.Header.Set("Authorization", c.auth)
			}
			reached := false
			g.Around(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true })).ServeHTTP(w, r)
			if w.Code != c.want || reached != (c.want == 200) {
				t.Errorf("it answers %d, want %d; reached: %v", w.Code, c.want, reached)
			}
			h := w.Header()
			if csp := h.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; script-src 'self'") || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" {
				t.Errorf("headers %v", h)
			}
			if c.want == 401 && len(h.Values("WWW-Authenticate")) != 2 {
				t.Error("who has no token isn't told how to give it")
			}
		})
	}
	if _, err := web.NewGuard(address(t, ":9640"), spec.Secret{}); err == nil || !strings.Contains(err.Error(), "--listen-token-file") {
		t.Errorf("an open address without a token: %v", err)
	}
}

func listen(t *testing.T, s string) net.Listener {
	t.Helper()
	l, err := web.Listen(t.Context(), address(t, s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestListen(t *testing.T) {
	first := listen(t, "127.0.0.1:0")
	if _, err := web.Listen(t.Context(), address(t, first.Addr().String())); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "another program") {
		t.Errorf("a port that is taken: %v", err)
	}
}

// TestListenUnix: a socket is the account's alone, is replaced where nobody listens on it, and is gone when its listener is.
func TestListenUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.sock")
	l := listen(t, "unix:"+path)
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("the socket has mode %v, %v", fi.Mode(), err)
	}
	if _, err := web.Listen(t.Context(), address(t, "unix:"+path)); err == nil || !strings.Contains(err.Error(), "another program") {
		t.Errorf("a socket that is taken: %v", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // as after kill -9
	_ = l.Close()
	l = listen(t, "unix:"+path)
	_ = l.Close()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := web.Listen(t.Context(), address(t, "unix:"+path)); err == nil || !strings.Contains(err.Error(), "isn't a socket") {
		t.Errorf("a file in the way: %v", err)
	}
	if b, _ := os.ReadFile(path); string(b) != "mine" {
		t.Error("the file is gone")
	}
}

// serving serves a handler until stop is called.
func serving(t *testing.T, h http.Handler) (at string, stop func() error) {
	t.Helper()
	l := listen(t, "127.0.0.1:0")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- web.Serve(ctx, l, h, logr.Discard()) }()
	t.Cleanup(cancel)
	return l.Addr().String(), func() error { cancel(); return <-ended }
}

// TestServeEndsWithItsContext, and so do the requests that are under way.
func TestServeEndsWithItsContext(t *testing.T) {
	begun := make(chan struct{})
	at, stop := serving(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
	}))
	go func() {
		if resp, err := http.Get("http://" + at); err == nil {
			_ = resp.Body.Close()
		}
	}()
	<-begun
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("it ends with %v", err)
	}
	if conn, err := net.Dial("tcp", at); err == nil {
		_ = conn.Close()
		t.Error("it listens after its end")
	}
}

// TestServeIsBounded: a head that is too long is refused, and more connections than there is room for wait until one ends.
func TestServeIsBounded(t *testing.T) {
	v := webtest.New(1, 1)
	at, stop := serving(t, web.Handlers{View: v, Loop: new(web.Loop), Page: http.NotFoundHandler()}.Handler())
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+at+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X", strings.Repeat("x", 64<<10))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if _ = resp.Body.Close(); resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a head of 64 kB: %s", resp.Status)
	}
	http.DefaultClient.CloseIdleConnections()
	conns := make([]net.Conn, 129)
	for i := range conns {
		if conns[i], err = net.Dial("tcp", at); err != nil {
			t.Fatal(err)
		}
		defer conns[i].Close()
		_, _ = fmt.Fprint(conns[i], "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
	}
	answer := func(c net.Conn, within time.Duration) error {
		_ = c.SetReadDeadline(time.Now().Add(within))
		_, err := bufio.NewReader(io.LimitReader(c, 1)).ReadByte()
		return err
	}
	for _, c := range conns[:128] {
		if err := answer(c, 20*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if err := answer(conns[128], 50*time.Millisecond); err == nil {
		t.Error("129 connections are served at once")
	}
	_ = conns[0].Close()
	if err := answer(conns[128], 20*time.Second); err != nil {
		t.Errorf("the last one isn't served though there is room: %v", err)
	}
	_ = stop()
}

func TestHealth(t *testing.T) {
	v := webtest.New(1, 1)
	for _, path := range []string{"/healthz", "/readyz"} {
		if w := ask(t, v, path, ""); w.Code != 200 || w.Body.String() != "ok\n" {
			t.Errorf("%s: %d %q", path, w.Code, w.Body)
		}
	}
	v.Missing = errors.New("gpu-1: not reached yet")
	if w := ask(t, v, "/readyz", ""); w.Code != 503 || !strings.Contains(w.Body.String(), "gpu-1: not reached yet") {
		t.Errorf("/readyz: %d %q", w.Code, w.Body)
	}
	if w := ask(t, v, "/healthz", ""); w.Code != 200 {
		t.Errorf("/healthz of a run that isn't ready: %d", w.Code)
	}
	v.Sick = errors.New("localhost: a look hangs")
	if w := ask(t, v, "/healthz", ""); w.Code != 503 {
		t.Errorf("/healthz of a run that hangs: %d", w.Code)
	}
}

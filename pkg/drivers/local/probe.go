package local

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"slices"
	"strings"

	"reconciler.dev/reconciler/internal/plaintext"
	"reconciler.dev/reconciler/pkg/spec"
)

// excerpt is how much of what a check answered goes into a message.
const excerpt = 200

// probeClient makes a new connection for each check, follows no redirect and knows no proxy: what is asked is the daemon, and nobody else.
func probeClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true,
			// A check asks whether the daemon answers, not who it is, and sends no secret: as the kubelet's, it takes any certificate.
			TLSClientConfig:        &tls.Config{InsecureSkipVerify: true},
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Probe makes one health check within its timeout. The error says what was found. A check by URL or TCP that passes on an address of this machine also asks, once for
// each instance, whether it was the daemon that answered.
func (h *Host) Probe(ctx context.Context, daemon string, check spec.Health) error {
	ctx, cancel := context.WithTimeout(ctx, check.Timeout.D())
	defer cancel()
	switch {
	case check.URL != "":
		at, err := h.probeURL(ctx, check)
		if err != nil {
			return err
		}
		return h.checkAnswerer(ctx, daemon, at)
	case check.TCP != "":
		at, err := probeTCP(ctx, check)
		if err != nil {
			return err
		}
		return h.checkAnswerer(ctx, daemon, at)
	default:
		return h.probeExec(ctx, daemon, check)
	}
}

// probeURL returns the address that answered.
func (h *Host) probeURL(ctx context.Context, check spec.Health) (at net.Addr, err error) {
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { at = c.Conn.RemoteAddr() }})
	req, err := http.NewRequestWithContext(traced, http.MethodGet, check.URL, nil)
	if err != nil {
		return nil, fmt.Errorf("check by URL: %s", plain(ctx, err, check))
	}
	req.Header.Set("User-Agent", "reconciler")
	shown := req.URL.Redacted() // a URL may have a password in it
	resp, err := h.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("GET %s: %s", shown, plain(ctx, err, check))
	}
	defer resp.Body.Close()
	want, ok := "want 200 to 399", resp.StatusCode >= 200 && resp.StatusCode < 400
	if check.ExpectStatus != 0 {
		want, ok = fmt.Sprintf("want %d", check.ExpectStatus), resp.StatusCode == check.ExpectStatus
	}
	if ok {
		return at, shows(shown, check, resp)
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 4*excerpt)) // as much as comes in time
	return nil, fmt.Errorf("GET %s: HTTP %d, %s%s", shown, resp.StatusCode, want, quoted(body))
}

// mostBody is how much of an answer is looked through.
const mostBody = 1 << 20

// shows returns an error where an answer lacks the header or the text that the check expects.
func shows(url string, check spec.Health, resp *http.Response) error {
	if name, want, ok := strings.Cut(check.ExpectHeader, ":"); ok {
		name, want = strings.TrimSpace(name), strings.TrimSpace(want)
		if have := resp.Header.Values(name); !slices.Contains(have, want) {
			return fmt.Errorf("GET %s: want header %s: %s, have %s", url, name, want, plaintext.Line(fmt.Sprintf("%q", have), excerpt))
		}
	}
	if check.ExpectBody == "" {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostBody))
	if !bytes.Contains(body, []byte(check.ExpectBody)) {
		text := quoted(body)
		if err != nil {
			text += " (" + plaintext.Line(err.Error(), excerpt) + ")"
		}
		return fmt.Errorf("GET %s: want %q in the body%s", url, check.ExpectBody, text)
	}
	return nil
}

// probeTCP returns the address that answered.
func probeTCP(ctx context.Context, check spec.Health) (net.Addr, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", check.TCP)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %s", check.TCP, plain(ctx, err, check))
	}
	return conn.RemoteAddr(), conn.Close()
}

// plain says in few words what went wrong.
func plain(ctx context.Context, err error, check spec.Health) string {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Sprintf("no answer within %s", check.Timeout)
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		var sys *os.SyscallError
		if err = op.Err; errors.As(err, &sys) {
			err = sys.Err
		}
	}
	return plaintext.Line(err.Error(), excerpt)
}

func quoted(body []byte) string {
	if text := plaintext.Line(string(body), excerpt); text != "" {
		return ": " + text
	}
	return ""
}

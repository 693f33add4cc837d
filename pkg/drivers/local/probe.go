package local

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"reconciler.dev/reconciler/internal/plaintext"
	"reconciler.dev/reconciler/internal/spawn"
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

// Probe makes one health check within its timeout. The error says what was found.
func (h *Host) Probe(ctx context.Context, daemon string, check spec.Health) error {
	ctx, cancel := context.WithTimeout(ctx, check.Timeout.D())
	defer cancel()
	switch {
	case check.URL != "":
		return h.probeURL(ctx, check)
	case check.TCP != "":
		return probeTCP(ctx, check)
	default:
		return h.probeExec(ctx, daemon, check)
	}
}

func (h *Host) probeURL(ctx context.Context, check spec.Health) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, check.URL, nil)
	if err != nil {
		return fmt.Errorf("check by URL: %s", plain(ctx, err, check))
	}
	req.Header.Set("User-Agent", "reconciler")
	shown := req.URL.Redacted() // a URL may have a password in it
	resp, err := h.http.Do(req)
	if err != nil {
		return fmt.Errorf("GET %s: %s", shown, plain(ctx, err, check))
	}
	defer resp.Body.Close()
	want, ok := "want 200 to 399", resp.StatusCode >= 200 && resp.StatusCode < 400
	if check.ExpectStatus != 0 {
		want, ok = fmt.Sprintf("want %d", check.ExpectStatus), resp.StatusCode == check.ExpectStatus
	}
	if ok {
		return nil
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 4*excerpt)) // as much as comes in time
	return fmt.Errorf("GET %s: HTTP %d, %s%s", shown, resp.StatusCode, want, quoted(body))
}

func probeTCP(ctx context.Context, check spec.Health) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", check.TCP)
	if err != nil {
		return fmt.Errorf("connect to %s: %s", check.TCP, plain(ctx, err, check))
	}
	return conn.Close()
}

func (h *Host) probeExec(ctx context.Context, daemon string, check spec.Health) error {
	sp, err := h.spawner()
	if err != nil {
		return fmt.Errorf("check daemon %s: %w", daemon, err)
	}
	account, _, err := spawn.LookupAccount("", "")
	if err != nil {
		return fmt.Errorf("check daemon %s: %w", daemon, err)
	}
	env := account.Environ()
	path, err := program(check.Exec[0], env)
	if err != nil {
		return fmt.Errorf("check daemon %s: %w", daemon, err)
	}
	out, err := sp.Run(ctx, spawn.Cmd{Path: path, Args: check.Exec, Env: env, Dir: "/", Umask: 0o022}, 4*excerpt)
	if err != nil {
		return fmt.Errorf("%s%s", plain(ctx, err, check), quoted(out))
	}
	return nil
}

// program finds a command by its path, or by its name in the PATH of env.
func program(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, v := range env {
		dirs, ok := strings.CutPrefix(v, "PATH=")
		if !ok {
			continue
		}
		for _, dir := range filepath.SplitList(dirs) {
			path := filepath.Join(dir, name)
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 {
				return path, nil
			}
		}
		return "", fmt.Errorf("there is no command %q in %s", name, dirs)
	}
	return "", fmt.Errorf("there is no command %q", name)
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

package web

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"

	"reconciler.dev/reconciler/pkg/spec"
)

// ReadToken reads the token that those who ask must have: what is in the file, less white space around it. Nobody else but the file's owner may read that, for who can has the token.
func ReadToken(path string) (spec.Secret, error) {
	f, err := os.Open(path)
	if err != nil {
		return spec.Secret{}, fmt.Errorf("read the token: %w", err)
	}
	defer f.Close()
	fi, err := f.Stat()
	switch {
	case err != nil:
		return spec.Secret{}, fmt.Errorf("read the token: %w", err)
	case !fi.Mode().IsRegular():
		return spec.Secret{}, fmt.Errorf("read the token: %s is no file", path)
	case fi.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows":
		return spec.Secret{}, fmt.Errorf("read the token: others may read %s, whose mode is %04o: chmod 600 %s", path, fi.Mode().Perm(), path)
	}
	b, err := io.ReadAll(io.LimitReader(f, 4097))
	token := strings.TrimSpace(string(b))
	switch {
	case err != nil:
		return spec.Secret{}, fmt.Errorf("read the token: %w", err)
	case len(b) > 4096:
		return spec.Secret{}, fmt.Errorf("read the token: %s is longer than 4096 bytes", path)
	case len(token) < 16:
		return spec.Secret{}, fmt.Errorf("read the token: that in %s has %d characters, and whoever tries can guess it: 16 at least, as from openssl rand -hex 32", path, len(token))
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return spec.Secret{}, fmt.Errorf("read the token: that in %s has characters other than ASCII's printable ones, which a header can't carry", path)
	}
	return spec.NewSecret(token), nil
}

// errOpen says why an address can't be had without a token.
var errOpen = errors.New("others than this machine's users get there: give --listen-token-file FILE too, or listen on 127.0.0.1 or on unix:PATH")

// Guard decides who is let in.
type Guard struct {
	address Address
	token   *[sha256.Size]byte // nil: none is needed
}

// NewGuard returns the guard of an address. A token that is empty is none; without one, only an address that is Local can be guarded.
func NewGuard(a Address, token spec.Secret) (*Guard, error) {
	g := &Guard{address: a}
	if t := token.Reveal(); t != "" {
		sum := sha256.Sum256([]byte(t))
		g.token = &sum
	} else if !a.Local() {
		return nil, fmt.Errorf("listen on %s: %w", a, errOpen)
	}
	return g, nil
}

// Around lets only those through to next who may look, and only if they look: with the token, where there is one, as a bearer's or as the password of any user, which is what a browser can
// ask for. Without one, what was meant for another name than this machine's own is refused, so that no page that a browser has open can have a name of its own point here
// (DNS rebinding). All answers carry what keeps a browser from running, embedding or keeping what isn't ours.
func (g *Guard) Around(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protect(w.Header())
		switch {
		case !g.named(r.Host):
			http.Error(w, "this is "+g.address.String()+"; it isn't reached by the name "+clip(r.Host), http.StatusMisdirectedRequest)
		case !g.knows(r):
			w.Header().Add("WWW-Authenticate", `Bearer realm="reconciler"`)
			w.Header().Add("WWW-Authenticate", `Basic realm="reconciler: any user, and the token as the password", charset="UTF-8"`)
			http.Error(w, "the token is missing or wrong", http.StatusUnauthorized)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "nothing can be changed here", http.StatusMethodNotAllowed)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// clip is a text from outside, for a message.
func clip(s string) string {
	if len(s) > 100 {
		s = s[:100] + "…"
	}
	return fmt.Sprintf("%q", s)
}

func protect(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// named says whether who asks meant this machine.
func (g *Guard) named(host string) bool {
	if g.address.Network == "unix" || g.token != nil {
		return true
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// knows says whether who asks has the token. It takes as long for a token that is almost right as for another one.
func (g *Guard) knows(r *http.Request) bool {
	if g.token == nil {
		return true
	}
	scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		_, given, _ = r.BasicAuth()
	}
	sum := sha256.Sum256([]byte(strings.TrimSpace(given)))
	return subtle.ConstantTimeCompare(sum[:], g.token[:]) == 1
}

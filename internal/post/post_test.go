package post

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"reconciler.dev/reconciler/internal/freeport"
)

func TestPost(t *testing.T) {
	followed := false
	mux := http.NewServeMux()
	mux.HandleFunc("POST /yes", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /no", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	mux.HandleFunc("POST /away", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/elsewhere", func(http.ResponseWriter, *http.Request) { followed = true })
	mux.HandleFunc("POST /hangs", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("POST /breaks", func(w http.ResponseWriter, _ *http.Request) {
		if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
			c.Close()
		}
	})
	s := httptest.NewServer(mux)
	defer s.Close()
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	for path, want := range map[string]struct{ fails, refused bool }{
		"/yes": {}, "/no": {true, true}, "/away": {true, true}, "/nobody": {true, true}, "/breaks": {true, false}, "/hangs": {true, false},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if path == "/hangs" {
			cancel()
		}
		err := To(ctx, s.URL+path)
		if (err != nil) != want.fails || errors.Is(err, ErrRefused) != want.refused {
			t.Errorf("POST %s: %v, want an error: %v, one that says no: %v", path, err, want.fails, want.refused)
		}
		cancel()
	}
	if followed {
		t.Error("it went where a redirect told it to")
	}
}

func TestPostToNobody(t *testing.T) {
	for _, url := range []string{"http://" + freeport.Address(t), "http://%zz"} {
		if err := To(t.Context(), url); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v, want a refusal", url, err)
		}
	}
}

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// greeter is what hello serves.
type greeter struct {
	name, config string
	log          *slog.Logger
	greeting     atomic.Pointer[string]
	ending       atomic.Bool
	shutdown     chan struct{} // closed once somebody asked for the end
	once         sync.Once
}

func newGreeter(name, config string, log *slog.Logger) (*greeter, error) {
	g := &greeter{name: name, config: config, log: log, shutdown: make(chan struct{})}
	return g, g.reload()
}

// reload reads the config file. Where that fails the greeting stays as it was.
func (g *greeter) reload() error {
	c := struct {
		Greeting string `json:"greeting"`
	}{Greeting: "Hello"}
	if g.config != "" {
		text, err := os.ReadFile(g.config)
		if err != nil {
			return fmt.Errorf("read config: %w", err)
		}
		if err := json.Unmarshal(text, &c); err != nil {
			return fmt.Errorf("read config %s: %w", g.config, err)
		}
	}
	g.greeting.Store(&c.Greeting)
	g.log.Info("config read", "file", g.config, "greeting", c.Greeting)
	return nil
}

func (g *greeter) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "%s, world! This is %s, process %d.\n", *g.greeting.Load(), g.name, os.Getpid())
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if g.ending.Load() {
			http.Error(w, "ending", http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, "ok\n")
	})
	mux.HandleFunc("POST /reload", func(w http.ResponseWriter, _ *http.Request) {
		if err := g.reload(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		io.WriteString(w, "reloaded\n")
	})
	mux.HandleFunc("POST /shutdown", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		io.WriteString(w, "ending\n")
		g.once.Do(func() { close(g.shutdown) })
	})
	return g.logged(mux)
}

// logged writes one line for each request that was answered.
func (g *greeter) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		s := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(s, r)
		g.log.Info("request", "method", r.Method, "path", r.URL.Path, "status", s.status, "took", time.Since(began).Round(time.Microsecond))
	})
}

// statusWriter remembers the status that was sent.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader sends and remembers the status.
func (s *statusWriter) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}

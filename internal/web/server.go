package web

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/go-logr/logr"
)

// The bounds of what a listener takes.
const (
	// mostConnections are open at once; who comes then waits.
	mostConnections = 128
	// mostHeader bounds the head of a request, in bytes.
	mostHeader = 16 << 10
	// answerWithin is how long an answer may take to be read, unless its handler extends that.
	answerWithin = 30 * time.Second
	// endWithin is how long answers under way may take when the run ends.
	endWithin = time.Second
)

// Handlers are what is served.
type Handlers struct {
	View View
	// Loop is what the run counts of itself.
	Loop *Loop
	// Page has all paths that nothing else has.
	Page http.Handler
}

// Handler is all that a run serves, unguarded.
func (h Handlers) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/metrics", newMetrics(h.View, h.Loop))
	mux.Handle("/sd", discovery{h.View})
	mux.Handle("/healthz", check{h.View.Healthy})
	mux.Handle("/readyz", check{h.View.Ready})
	mux.Handle("/", h.Page)
	return mux
}

// check answers whether something is as it should be.
type check struct{ ask func() error }

// ServeHTTP answers 200, or 503 with what is wrong.
func (c check) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if err := c.ask(); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}

// Serve answers on l until ctx ends, and closes l. Requests end with ctx too. What goes wrong with single connections is logged.
func Serve(ctx context.Context, l net.Listener, h http.Handler, log logr.Logger) error {
	s := &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: answerWithin, IdleTimeout: time.Minute, MaxHeaderBytes: mostHeader,
		BaseContext: func(net.Listener) context.Context { return ctx }, ErrorLog: slog.NewLogLogger(logr.ToSlogHandler(log), slog.LevelError),
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), endWithin)
		defer cancel()
		if s.Shutdown(wait) != nil {
			_ = s.Close()
		}
	})
	err := s.Serve(&few{Listener: l, free: make(chan struct{}, mostConnections), closed: make(chan struct{})})
	if !stop() {
		<-ended
	}
	if errors.Is(err, http.ErrServerClosed) {
		return ctx.Err()
	}
	return err
}

// few has a bounded number of connections open.
type few struct {
	net.Listener
	free   chan struct{}
	closed chan struct{}
	once   sync.Once
}

// Accept waits until there is room, too.
func (f *few) Accept() (net.Conn, error) {
	select {
	case f.free <- struct{}{}:
	case <-f.closed:
		return nil, net.ErrClosed
	}
	c, err := f.Listener.Accept()
	if err != nil {
		<-f.free
		return nil, err
	}
	return &counted{Conn: c, give: sync.OnceFunc(func() { <-f.free })}, nil
}

// Close ends an Accept that waits.
func (f *few) Close() error {
	f.once.Do(func() { close(f.closed) })
	return f.Listener.Close()
}

type counted struct {
	net.Conn
	give func()
}

func (c *counted) Close() error {
	defer c.give()
	return c.Conn.Close()
}

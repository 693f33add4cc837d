//go:build linux

package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// server is what a witness answers and does while it lives.
type server struct {
	*options
	shutdown chan struct{}
	sick     atomic.Bool
}

// reload reads the config and testifies to it. A broken one changes nothing.
func (s *server) reload() error {
	if s.config == "" {
		return nil
	}
	text, err := os.ReadFile(s.config)
	if err != nil {
		return fmt.Errorf("read config: %w", err)
	}
	if strings.Contains(string(text), "broken") {
		return errors.New("read config: it says that it is broken")
	}
	s.sick.Store(strings.Contains(string(text), "sick"))
	path := filepath.Join(s.dir, s.name+".config")
	if err := os.WriteFile(path+".new", text, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func (s *server) listen() error {
	l, err := s.open()
	if err != nil {
		return err
	}
	if s.sicken > 0 {
		time.AfterFunc(s.sicken, func() { s.sick.Store(true) })
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, "witness_pid %d\n", os.Getpid()) })
	mux.HandleFunc("POST /write", s.write)
	mux.HandleFunc("POST /sicken", func(http.ResponseWriter, *http.Request) { s.sick.Store(true) })
	mux.HandleFunc("POST /reload", func(w http.ResponseWriter, _ *http.Request) {
		if err := s.reload(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("POST /shutdown", func(http.ResponseWriter, *http.Request) {
		select {
		case s.shutdown <- struct{}{}:
		default:
		}
	})
	go func() { fmt.Println("serving ended:", http.Serve(l, mux)) }()
	return nil
}

// open opens its socket, or takes the one that it was given.
func (s *server) open() (net.Listener, error) {
	if !s.held {
		return net.Listen("tcp", s.addr)
	}
	if pid := os.Getenv("LISTEN_PID"); pid != strconv.Itoa(os.Getpid()) {
		return nil, fmt.Errorf("the sockets are for process %q", pid)
	}
	const first = 3 // SD_LISTEN_FDS_START
	f := os.NewFile(first, "the first socket")
	defer f.Close()
	return net.FileListener(f)
}

func (s *server) healthz(w http.ResponseWriter, _ *http.Request) {
	if s.sick.Load() {
		http.Error(w, "sick", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, os.Getpid())
}

// write writes numbered lines to stdout: from (and not with) the number given, that many.
func (s *server) write(w http.ResponseWriter, r *http.Request) {
	from, err1 := strconv.Atoi(r.FormValue("from"))
	lines, err2 := strconv.Atoi(r.FormValue("lines"))
	if err := errors.Join(err1, err2); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for i := range lines {
		if _, err := io.WriteString(os.Stdout, fmt.Sprintf("line %08d of %s\n", from+i, s.name)); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
}

// serve waits for what asks it to end, and for what asks it to reread its config.
func (s *server) serve(signals <-chan os.Signal) error {
	for {
		select {
		case sig := <-signals:
			switch {
			case sig == syscall.SIGHUP:
				if err := s.reload(); err != nil {
					fmt.Println("not reloaded:", err)
				}
			case !s.stubborn:
				fmt.Println("ended by", sig)
				return nil
			default:
				if err := testify(s.options, "asked", sig.String()+"\n"); err != nil {
					return err
				}
			}
		case <-s.shutdown:
			if !s.stubborn {
				fmt.Println("ended by a request")
				return nil
			}
		}
	}
}

func digest(secret string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(secret))) }

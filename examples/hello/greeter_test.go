package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAnswers(t *testing.T) {
	for _, tt := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/", 200, fmt.Sprintf("Hello, world! This is web, process %d.\n", os.Getpid())},
		{"GET", "/healthz", 200, "ok\n"},
		{"POST", "/reload", 200, "reloaded\n"},
		{"POST", "/shutdown", 202, "ending\n"},
		{"GET", "/shutdown", 405, "Method Not Allowed\n"},
		{"GET", "/reload", 405, "Method Not Allowed\n"},
		{"POST", "/", 405, "Method Not Allowed\n"},
		{"GET", "/other", 404, "404 page not found\n"},
	} {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			g, log := greet(t, "")
			if status, body := ask(g, tt.method, tt.path); status != tt.status || body != tt.body {
				t.Errorf("got %d %q, want %d %q", status, body, tt.status, tt.body)
			}
			if want := fmt.Sprintf("method=%s path=%s status=%d", tt.method, tt.path, tt.status); !strings.Contains(log.String(), want) {
				t.Errorf("the log lacks %q:\n%s", want, log)
			}
		})
	}
}

func TestUnhealthyWhileItEnds(t *testing.T) {
	g, _ := greet(t, "")
	g.ending.Store(true)
	if status, body := ask(g, "GET", "/healthz"); status != 503 || body != "ending\n" {
		t.Errorf("got %d %q", status, body)
	}
}

func TestShutdownMayBeAskedTwice(t *testing.T) {
	g, _ := greet(t, "")
	for range 2 {
		if status, _ := ask(g, "POST", "/shutdown"); status != 202 {
			t.Errorf("got %d", status)
		}
	}
	<-g.shutdown
}

func TestReload(t *testing.T) {
	config := filepath.Join(t.TempDir(), "hello.json")
	write(t, config, `{"greeting": "Good morning"}`)
	g, _ := greet(t, config)
	greets := func(want string) {
		t.Helper()
		if _, body := ask(g, "GET", "/"); !strings.HasPrefix(body, want+", world!") {
			t.Errorf("greets with %q, want %q", body, want)
		}
	}
	greets("Good morning")

	write(t, config, `{"greeting": "Good evening"}`)
	greets("Good morning")
	ask(g, "POST", "/reload")
	greets("Good evening")

	write(t, config, `{"greeting":`)
	if status, body := ask(g, "POST", "/reload"); status != 500 || !strings.Contains(body, config) {
		t.Errorf("a broken config: got %d %q", status, body)
	}
	greets("Good evening")
}

func TestStartNeedsItsConfig(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	if _, err := newGreeter("web", filepath.Join(t.TempDir(), "none"), log); err == nil {
		t.Error("no error")
	}
}

func greet(t *testing.T, config string) (*greeter, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	g, err := newGreeter("web", config, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return g, &log
}

func ask(g *greeter, method, path string) (status int, body string) {
	w := httptest.NewRecorder()
	g.handler().ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w.Code, w.Body.String()
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

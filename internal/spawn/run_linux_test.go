package spawn

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"reconciler.dev/reconciler/internal/pidfd"
)

func TestRun(t *testing.T) {
	s := newSpawner(t)
	for text, want := range map[string]struct{ out, err string }{
		"echo out; echo err >&2":                  {"out\nerr\n", ""},
		"echo no; exit 3":                         {"no\n", "exited with status 3"},
		"kill -9 $$":                              {"", "ended by SIGKILL"},
		"yes | head -c 1000000":                   {strings.Repeat("y\n", 50), ""},
		"echo a; sleep 1000 &":                    {"a\n", ""},
		"echo a; setsid sleep 0.2 & echo b; wait": {"b", ""},
	} {
		out, err := s.Run(t.Context(), script(text), 100)
		if !strings.Contains(string(out), want.out) || (err == nil) != (want.err == "") || err != nil && !strings.Contains(err.Error(), want.err) {
			t.Errorf("%q: %q, %v; want %q, %q", text, out, err, want.out, want.err)
		}
	}
}

func TestRunKillsTheGroupInTime(t *testing.T) {
	s := newSpawner(t)
	pidFile := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for {
			if b, err := os.ReadFile(pidFile); err == nil && strings.HasSuffix(string(b), "\n") {
				cancel()
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	_, err := s.Run(ctx, script("trap '' TERM; sleep 1000 & echo $! > "+pidFile+"; sleep 1000"), 100)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	b, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	if fd, err := pidfd.Open(pid); err == nil {
		defer fd.Close()
		if err := s.wait(t.Context(), Process{pid, fd}); err != nil {
			t.Errorf("a child of the probe lives on: %v", err)
		}
	}
}

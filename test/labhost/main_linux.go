package labhost

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// shared is the lab of the tests of this process. It is opened by the first that needs it.
type shared struct {
	mu  sync.Mutex
	lab *Lab
}

var theShared = sync.OnceValue(func() *shared { return &shared{} })

// Main runs a package's tests, takes the lab down and exits. It is the last that TestMain does. m is a *testing.M, or what runs one.
func Main(m interface{ Run() int }) {
	Stage()
	code := m.Run()
	if err := theShared().close(); err != nil {
		fmt.Fprintf(os.Stderr, "labhost: %v\n", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// theLab returns the lab of the tests. Where this process isn't root's it skips the test.
func theLab(t testing.TB) *Lab {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("it needs a host to run on, and only root can make one: run the tests as root, as CI does")
	}
	s := theShared()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lab == nil {
		l, err := Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s.lab = l
	}
	return s.lab
}

func (s *shared) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lab == nil {
		return nil
	}
	return s.lab.Close()
}

// Start boots a host, which is gone when the test ends. Where this process isn't root's it skips the test.
func Start(t testing.TB, kind Kind, binds ...Bind) *Host {
	t.Helper()
	return StartAll(t, 1, kind, binds...)[0]
}

// StartAll boots n hosts side by side, which are gone when the test ends. A test that needs several asks for all of them at once: see Lab.StartAll.
func StartAll(t testing.TB, n int, kind Kind, binds ...Bind) []*Host {
	t.Helper()
	l, began := theLab(t), time.Now()
	hosts, err := l.StartAll(t.Context(), n, kind, binds...)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, h := range hosts {
		names = append(names, h.Name)
		t.Cleanup(func() { h.end(t) })
	}
	t.Logf("%s: %s booted in %s", strings.Join(names, ", "), kind, time.Since(began).Round(time.Millisecond))
	return hosts
}

// end takes the host of a test down.
func (h *Host) end(t testing.TB) {
	if t.Failed() {
		t.Logf("%s:\n%s", h.Name, h.story(context.WithoutCancel(t.Context())))
	}
	if err := h.Close(); err != nil {
		t.Errorf("take down %s: %v", h.Name, err)
	}
}

// startMachine is the command that runs a test on a machine, which is gone when the test ends.
func startMachine(t *testing.T, s machineSpec) *exec.Cmd {
	t.Helper()
	cmd, remove, err := theLab(t).machine(t.Context(), s)
	if err != nil {
		t.Fatalf("start a %s host: %v", s.Kind, err)
	}
	t.Cleanup(func() {
		if err := remove(); err != nil {
			t.Errorf("take down a %s host: %v", s.Kind, err)
		}
	})
	return cmd
}

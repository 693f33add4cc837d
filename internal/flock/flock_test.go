package flock

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// TestMain is also the other process of TestKilledHolder: it holds the lock that its environment names until it is killed.
func TestMain(m *testing.M) {
	if path := os.Getenv("FLOCK_TEST_HOLD"); path != "" {
		h, err := TryLock(path)
		if err != nil {
			panic(err)
		}
		if err := h.SetInfo([]byte("child")); err != nil {
			panic(err)
		}
		os.Stdout.WriteString("held\n")
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// kinds are the two kinds of locks, each for a name.
var kinds = map[string]func(path, name string) (*Held, error){
	"a file each":     func(path, name string) (*Held, error) { return TryLock(path + name) },
	"a file together": TryLockNamed,
	"a folder each": func(path, name string) (*Held, error) {
		if err := os.MkdirAll(path+name, 0o700); err != nil {
			return nil, err
		}
		return TryLockDir(path + name)
	},
}

func TestTryLockExcludes(t *testing.T) {
	for kind, try := range kinds {
		t.Run(kind, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "l")
			h, err := try(path, "a")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := try(path, "a"); !errors.Is(err, ErrHeld) {
				t.Errorf("second try: %v, want ErrHeld", err)
			}
			other, err := try(path, "b")
			if err != nil {
				t.Fatalf("another name: %v", err)
			}
			h.Release()
			h.Release()
			if _, err := try(path, "b"); !errors.Is(err, ErrHeld) {
				t.Errorf("releasing one name released another: %v", err)
			}
			other.Release()
			if h, err = try(path, "a"); err != nil {
				t.Fatalf("after Release: %v", err)
			}
			h.Release()
		})
	}
}

func TestLockEndsWithItsContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l")
	h, err := TryLock(path)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Release()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Lock(ctx, path); !errors.Is(err, context.Canceled) {
		t.Errorf("Lock: %v, want context.Canceled", err)
	}
	if _, err := Lock(t.Context(), filepath.Join(t.TempDir(), "missing", "l")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Lock in a missing directory: %v", err)
	}
}

func TestLockLetsOneInAtATime(t *testing.T) {
	dir := t.TempDir()
	for kind, lock := range map[string]func() (*Held, error){
		"a file each":     func() (*Held, error) { return Lock(t.Context(), filepath.Join(dir, "l")) },
		"a file together": func() (*Held, error) { return LockNamed(t.Context(), filepath.Join(dir, "n"), "a") },
		"a folder":        func() (*Held, error) { return LockDir(t.Context(), dir) },
	} {
		t.Run(kind, func(t *testing.T) {
			var wg sync.WaitGroup
			var inside, n atomic.Int32
			for range 8 {
				wg.Go(func() {
					for range 5 {
						h, err := lock()
						if err != nil {
							t.Error(err)
							return
						}
						if inside.Add(1) != 1 {
							t.Error("two holders at once")
						}
						n.Add(1)
						inside.Add(-1)
						h.Release()
					}
				})
			}
			wg.Wait()
			if n.Load() != 40 {
				t.Errorf("%d were let in, want 40", n.Load())
			}
		})
	}
}

func TestInfo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l")
	if _, held, err := Info(path); held || err != nil {
		t.Errorf("a lock nobody took: held %v, %v", held, err)
	}
	h, err := TryLock(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a long description", "short"} {
		if err := h.SetInfo([]byte(want)); err != nil {
			t.Fatal(err)
		}
		if got, held, err := Info(path); string(got) != want || !held || err != nil {
			t.Errorf("Info = %q, %v, %v; want %q, true", got, held, err, want)
		}
	}
	h.Release()
	if _, held, err := Info(path); held || err != nil {
		t.Errorf("a released lock: held %v, %v", held, err)
	}
}

func TestKilledHolderLeavesNothingHeld(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "FLOCK_TEST_HOLD="+path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
		t.Fatalf("the child said %q, %v", line, err)
	}
	if _, err := TryLock(path); !errors.Is(err, ErrHeld) {
		t.Errorf("TryLock against a live process: %v, want ErrHeld", err)
	}
	if info, held, err := Info(path); string(info) != "child" || !held || err != nil {
		t.Errorf("Info = %q, %v, %v", info, held, err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	h, err := TryLock(path)
	if err != nil {
		t.Fatalf("after kill -9 of the holder: %v", err)
	}
	h.Release()
}

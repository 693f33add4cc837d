package sockets

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/freeport"
	"reconciler.dev/reconciler/internal/spawn"
)

func TestMain(m *testing.M) {
	if status, called := Main(context.Background(), os.Args, os.Stdout); called {
		os.Exit(status)
	}
	spawn.Main()
	if os.Getenv(asArranged) != "" {
		arrange(os.Args[1:])
		return
	}
	os.Exit(m.Run())
}

// rig is a client over a directory of its own. What isn't as it must be ends the test.
type rig struct {
	*testing.T
	*Client
}

func newRig(t *testing.T) *rig {
	t.Helper()
	s, err := spawn.New()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	r := &rig{t, &Client{Dir: filepath.Join(dir, "run"), Tool: filepath.Join(dir, "bin", "tool"), Spawner: s}}
	t.Cleanup(r.end)
	return r
}

// end lets go of all that is held and waits for the end of the holder, which a test must not leave behind.
func (r *rig) end() {
	ctx := context.WithoutCancel(r.Context())
	all, err := r.Held(ctx)
	if err != nil {
		r.Error(err)
	}
	for _, h := range all {
		for _, name := range h.Names {
			if err := r.Release(ctx, name); err != nil {
				r.Error(err)
			}
		}
	}
	r.gone()
}

func (r *rig) gone() {
	r.Helper()
	r.eventually("the holder ends", func() bool {
		_, err := os.Lstat(filepath.Join(r.Dir, socketName))
		return errors.Is(err, os.ErrNotExist)
	})
}

func (r *rig) eventually(what string, happened func() bool) {
	r.Helper()
	for deadline := time.Now().Add(20 * time.Second); !happened(); <-time.After(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.Fatalf("waited in vain: %s", what)
		}
	}
}

// take takes sockets, which are closed with the test.
func (r *rig) take(name string, want ...Socket) []*os.File {
	r.Helper()
	files, err := r.Take(r.Context(), name, want)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { closeFiles(files) })
	return files
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

func inode(t testing.TB, f *os.File) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

// free is a port of this machine that nobody has.
func free(t testing.TB) string { return strconv.Itoa(freeport.Port(t)) }

func tcp(address string) Socket { return Socket{Network: "tcp", Address: address} }

func file(path string) Socket {
	return Socket{Network: "unix", Address: path, UID: os.Getuid(), GID: os.Getgid(), Mode: 0o640}
}

// refused tells whether nobody listens.
func refused(t testing.TB, s Socket) bool {
	t.Helper()
	c, err := net.Dial(s.Network, strings.Replace(s.Address, "0.0.0.0", "127.0.0.1", 1))
	if err == nil {
		c.Close()
		return false
	}
	if !errors.Is(err, unix.ECONNREFUSED) && !errors.Is(err, unix.ENOENT) {
		t.Fatal(err)
	}
	return true
}

// pid is the holder's.
func (r *rig) pid() int {
	r.Helper()
	c, err := r.dial(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	defer c.Close()
	who, err := peer(c)
	if err != nil {
		r.Fatal(err)
	}
	return int(who.Pid)
}

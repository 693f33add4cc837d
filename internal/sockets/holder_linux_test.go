package sockets

import (
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestKilledHolder: the daemon goes on, and the next start has the sockets opened again.
func TestKilledHolder(t *testing.T) {
	r := newRig(t)
	all := []Socket{tcp("127.0.0.1:" + free(t)), file(filepath.Join(t.TempDir(), "x.sock"))}
	files := r.take("web", all...)
	unix.Kill(r.pid(), unix.SIGKILL)
	r.eventually("it is dead", func() bool { _, err := r.dial(t.Context()); return errors.Is(err, errNobody) })
	for _, s := range all {
		if refused(t, s) {
			t.Errorf("%s: the daemon has it, and it is refused", s)
		}
	}
	if held, err := r.Held(t.Context()); err != nil || held != nil {
		t.Errorf("held: %v, %v", held, err)
	}
	closeFiles(files)
	for _, f := range r.take("web", all...) {
		if _, err := f.Stat(); err != nil {
			t.Error(err)
		}
	}
	for _, s := range all {
		if refused(t, s) {
			t.Errorf("%s is refused", s)
		}
	}
}

// TestHolderStaysAsLongAsItHolds, and a new one takes over from one that leaves.
func TestHolderStaysAsLongAsItHolds(t *testing.T) {
	r := newRig(t)
	if err := r.Release(t.Context(), "web"); err != nil {
		t.Errorf("nothing to let go: %v", err)
	}
	s := tcp("127.0.0.1:" + free(t))
	closeFiles(r.take("web", s))
	first := r.pid()
	for range 3 { // a holder that has just become idle goes on
		if err := r.Release(t.Context(), "web"); err != nil {
			t.Fatal(err)
		}
		closeFiles(r.take("web", s))
	}
	if is := r.pid(); is != first {
		t.Errorf("it is another holder: %d and %d", first, is)
	}
	if err := r.Release(t.Context(), "web"); err != nil {
		t.Fatal(err)
	}
	r.gone()
	closeFiles(r.take("web", s))
}

// TestManyAtOnce, of many processes, have one holder.
func TestManyAtOnce(t *testing.T) {
	r := newRig(t)
	var all sync.WaitGroup
	for i := range 20 {
		s := tcp("127.0.0.1:" + free(t))
		all.Go(func() {
			files, err := r.Take(t.Context(), fmt.Sprintf("d%d", i), []Socket{s})
			closeFiles(files)
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	held, err := r.Held(t.Context())
	if err != nil || len(held) != 20 {
		t.Errorf("%d are held: %v", len(held), err)
	}
}

// TestLongDirectory: the address of a socket has room for 107 characters.
func TestLongDirectory(t *testing.T) {
	r := newRig(t)
	r.Dir = filepath.Join(r.Dir, strings.Repeat("long/", 40))
	s := tcp("127.0.0.1:" + free(t))
	r.take("web", s)
	if refused(t, s) {
		t.Error("it is refused")
	}
}

// TestNonsense: a holder goes on whatever it is told.
func TestNonsense(t *testing.T) {
	r := newRig(t)
	s := tcp("127.0.0.1:" + free(t))
	r.take("web", s)
	first := r.pid()
	for _, text := range []string{"", "{", "null", `{"sockets": 7}`, strings.Repeat("x", 100<<10), `{"later": "versions know more"}`} {
		c, err := r.dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c.Write([]byte(text))
		c.SetDeadline(time.Now().Add(10 * time.Second))
		io.Copy(io.Discard, c)
		c.Close()
	}
	for _, bad := range []Socket{{Network: "tcp", Address: "nonsense"}, {Network: "tcp", Address: "x:1"}, {}} {
		if _, err := r.Take(t.Context(), "api", []Socket{bad}); err == nil {
			t.Errorf("%q is held", bad)
		}
	}
	if _, err := r.Take(t.Context(), "api", make([]Socket, most+1)); err == nil {
		t.Error("more sockets than the kernel passes on are held")
	}
	if is := r.pid(); is != first || refused(t, s) {
		t.Errorf("it is another holder (%d and %d), or holds nothing", first, is)
	}
}

func TestBusy(t *testing.T) {
	port := free(t)
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	path := filepath.Join(t.TempDir(), "x.sock")
	if err := leftover(path); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		socket      Socket
		busy, fails bool
	}{
		{tcp("127.0.0.1:" + port), true, true},
		{tcp("0.0.0.0:" + port), true, true},
		{tcp("127.0.0.1:" + free(t)), false, false},
		{file(path), false, false},
		{tcp("192.0.2.1:1"), false, true},
	} {
		if err := Busy(tt.socket); errors.Is(err, ErrInUse) != tt.busy || (err != nil) != tt.fails {
			t.Errorf("%s: %v", tt.socket, err)
		}
		if err := Try(tt.socket); (err != nil) != (tt.fails && !tt.busy) {
			t.Errorf("could have %s: %v", tt.socket, err)
		}
	}
}

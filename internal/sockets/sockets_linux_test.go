package sockets

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// TestConnectionsWaitForTheNext that takes the socket, whatever became of the one before.
func TestConnectionsWaitForTheNext(t *testing.T) {
	r := newRig(t)
	for _, s := range []Socket{tcp("127.0.0.1:" + free(t)), tcp("0.0.0.0:" + free(t)), tcp("[::1]:" + free(t)), tcp(":" + free(t)), file(filepath.Join(t.TempDir(), "below", "x.sock"))} {
		t.Run(s.String(), func(t *testing.T) {
			first := r.take("web", s)
			was := inode(t, first[0])
			closeFiles(first) // as at the end of its process
			c, err := net.Dial(s.Network, s.Address)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := io.WriteString(c, "are you there?"); err != nil {
				t.Fatal(err)
			}
			second := r.take("web", s)
			if is := inode(t, second[0]); is != was {
				t.Errorf("it is another socket: %d and %d", was, is)
			}
			l, err := net.FileListener(second[0])
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			got, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer got.Close()
			if b := make([]byte, 14); func() bool { _, err := io.ReadFull(got, b); return err != nil || string(b) != "are you there?" }() {
				t.Errorf("read %q", b)
			}
		})
	}
}

// TestOnlyWhatChanged is opened and closed.
func TestOnlyWhatChanged(t *testing.T) {
	r := newRig(t)
	stays, goes, comes := tcp("127.0.0.1:"+free(t)), file(filepath.Join(t.TempDir(), "x.sock")), tcp("127.0.0.1:"+free(t))
	before := r.take("web", goes, stays)
	was := inode(t, before[1])
	closeFiles(before)
	after := r.take("web", stays, comes)
	if is := inode(t, after[0]); is != was {
		t.Errorf("what stays is another socket: %d and %d", was, is)
	}
	if refused(t, stays) || refused(t, comes) || !refused(t, goes) {
		t.Errorf("refused: what stays %v, what comes %v, what goes %v", refused(t, stays), refused(t, comes), refused(t, goes))
	}
	if _, err := os.Lstat(goes.Address); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file of what goes: %v", err)
	}
	held, err := r.Held(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []Holding{{stays.String(), []string{"web"}}, {comes.String(), []string{"web"}}}
	if want[0].Socket > want[1].Socket {
		want[0], want[1] = want[1], want[0]
	}
	if d := cmp.Diff(want, held); d != "" {
		t.Errorf("held (-want +got):\n%s", d)
	}
}

// TestOneStandsInTheWayOfAnother: all addresses and one of them, on the same port.
func TestOneStandsInTheWayOfAnother(t *testing.T) {
	r := newRig(t)
	port := free(t)
	closeFiles(r.take("web", tcp("0.0.0.0:"+port)))
	closeFiles(r.take("web", tcp("127.0.0.1:"+port)))
	closeFiles(r.take("web", tcp(":"+port)))
}

// TestTwoInstancesOfOneDaemon share its sockets, and the last one that goes closes them.
func TestTwoInstancesOfOneDaemon(t *testing.T) {
	r := newRig(t)
	s := tcp("127.0.0.1:" + free(t))
	old, next := r.take("web", s), r.take("web_1", s)
	if inode(t, old[0]) != inode(t, next[0]) {
		t.Error("they have different sockets")
	}
	closeFiles(append(old, next...))
	if err := r.Release(t.Context(), "web"); err != nil {
		t.Fatal(err)
	}
	if refused(t, s) {
		t.Error("the other one wants it, and it is closed")
	}
	if err := r.Release(t.Context(), "web_1"); err != nil {
		t.Fatal(err)
	}
	if !refused(t, s) {
		t.Error("nobody wants it, and it is open")
	}
}

func TestWhatIsTaken(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	mine, theirs := tcp("127.0.0.1:"+free(t)), file(filepath.Join(dir, "theirs.sock"))
	r.take("web", mine)
	l, err := net.Listen("unix", theirs.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	plain := file(filepath.Join(dir, "plain"))
	if err := os.WriteFile(plain.Address, []byte("a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	fine := tcp("127.0.0.1:" + free(t))
	for _, tt := range []struct {
		name  string
		want  Socket
		err   string
		inUse bool
	}{
		{"another daemon's", mine, "listen on " + mine.String() + ": it is held for daemon web", false},
		{"another program's", theirs, "listen on " + theirs.String() + ": address already in use: somebody else listens there", true},
		{"a file's", plain, "listen on " + plain.String() + ": address already in use: somebody else listens there", true},
		{"no address of this machine", tcp("192.0.2.1:1234"), "listen on tcp://192.0.2.1:1234 (cannot assign requested address)", false},
		{"below a file", file(plain.Address + "/x.sock"), "listen on unix://" + plain.Address + "/x.sock: mkdir " + plain.Address + " (not a directory)", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := r.Take(t.Context(), "api", []Socket{fine, tt.want})
			if err == nil || err.Error() != tt.err || errors.Is(err, ErrInUse) != tt.inUse {
				t.Errorf("got %v, in use %v", err, errors.Is(err, ErrInUse))
			}
			if !refused(t, fine) {
				t.Error("the other one was opened all the same")
			}
		})
	}
	if text, err := os.ReadFile(plain.Address); err != nil || string(text) != "a file" {
		t.Errorf("somebody's file is %q, %v", text, err)
	}
}

func TestFileOfASocket(t *testing.T) {
	r := newRig(t)
	s := file(filepath.Join(t.TempDir(), "x.sock"))
	s.UID, s.GID = 65534, 65533
	look := func(mode os.FileMode, uid, gid uint32) {
		t.Helper()
		var st unix.Stat_t
		if err := unix.Lstat(s.Address, &st); err != nil {
			t.Fatal(err)
		}
		if st.Mode != unix.S_IFSOCK|uint32(mode) || st.Uid != uid || st.Gid != gid {
			t.Errorf("its file has mode %o, user %d, group %d", st.Mode, st.Uid, st.Gid)
		}
	}
	if err := leftover(s.Address); err != nil {
		t.Fatal(err)
	}
	first := r.take("web", s) // in the place of one on which nobody listens
	look(0o640, 65534, 65533)

	s.Mode, s.UID = 0o666, 0
	second := r.take("web", s)
	look(0o666, 0, 65533)
	if inode(t, first[0]) != inode(t, second[0]) {
		t.Error("another owner made it another socket")
	}

	if err := os.Remove(s.Address); err != nil { // as some daemons do at their end
		t.Fatal(err)
	}
	r.take("web", s)
	look(0o666, 0, 65533)
	if refused(t, s) {
		t.Error("nobody can reach it")
	}
}

// leftover leaves the file of a socket on which nobody listens.
func leftover(path string) error {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false)
	return l.Close()
}

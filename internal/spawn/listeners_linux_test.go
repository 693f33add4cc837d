package spawn

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestListeners: a process finds its sockets as sd_listen_fds(3) says, in their order, under its own number, and nothing else.
func TestListeners(t *testing.T) {
	s := newSpawner(t)
	for _, n := range []int{1, 2, 5} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			c := script(`echo $$; env | grep ^LISTEN_ | sort; for fd in /proc/$$/fd/*; do case ${fd##*/} in [3-9]|1?) readlink $fd;; esac; done; cat /proc/$$/fdinfo/3 | grep flags`)
			c.Env = append(c.Env, "LISTEN_PID=1", "LISTEN_FDS=99", "LISTEN_FDNAMES=x", "LISTEN_ON=kept")
			var names, want []string
			for i := range n {
				l, inode := socket(t)
				c.Listeners = append(c.Listeners, Listener{l, fmt.Sprintf("n%d", i)})
				names, want = append(names, fmt.Sprintf("n%d", i)), append(want, fmt.Sprintf("socket:[%d]", inode))
			}
			if err := unix.SetNonblock(int(c.Listeners[0].File.Fd()), true); err != nil { // as the process before left it
				t.Fatal(err)
			}
			text, status := output(t, s, c)
			pid, rest, _ := strings.Cut(text, "\n")
			want = append([]string{fmt.Sprintf("LISTEN_FDNAMES=%s", strings.Join(names, ":")), fmt.Sprintf("LISTEN_FDS=%d", n), "LISTEN_ON=kept", "LISTEN_PID=" + pid}, want...)
			want = append(want, "flags:\t02", "")
			if got := strings.Join(want, "\n"); rest != got || status != 0 {
				t.Errorf("got\n%swant\n%s", rest, got)
			}
		})
	}
}

// TestListenersAndTheRest: what else the launcher does, it does with sockets too, and says what it couldn't.
func TestListenersAndTheRest(t *testing.T) {
	s := newSpawner(t)
	l, _ := socket(t)
	c := slow(script("umask; nice; ulimit -c; echo $LISTEN_FDS"))
	c.Umask, c.Nice, c.Listeners = 0o77, 7, []Listener{{l, "x"}}
	if text, _ := output(t, s, c); text != "0077\n7\n0\n1\n" {
		t.Errorf("got %q", text)
	}
	c.Dir, c.Stdout, c.Stderr = filepath.Join(t.TempDir(), "none"), os.Stderr, os.Stderr
	if _, err := s.Start(c); err == nil || !strings.Contains(err.Error(), c.Dir) {
		t.Errorf("got %v", err)
	}
}

// socket is one that is listened on, and its number.
func socket(t *testing.T) (*os.File, uint64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	return f, st.Ino
}

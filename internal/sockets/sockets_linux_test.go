package sockets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

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
func free(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

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

// pid is the holder's.
func (r *rig) pid() int {
	r.Helper()
	c, err := r.dial(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	defer c.Close()
	raw, err := c.SyscallConn()
	if err != nil {
		r.Fatal(err)
	}
	var who *unix.Ucred
	raw.Control(func(fd uintptr) { who, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err != nil {
		r.Fatal(err)
	}
	return int(who.Pid)
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

// TestPassedOnAsTheyAre: blocking, as systemd passes them, and inherited by nobody by accident.
func TestPassedOnAsTheyAre(t *testing.T) {
	r := newRig(t)
	f := r.take("web", tcp("127.0.0.1:"+free(t)))[0]
	raw, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		if flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK != 0 {
			t.Errorf("flags %#x, %v", flags, err)
		}
		if flags, err := unix.FcntlInt(fd, unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("descriptor flags %#x, %v", flags, err)
		}
	})
}

// asArranged makes this test binary print what it has after Arrange.
const asArranged = "SOCKETS_TEST_ARRANGE"

// TestArrange: whatever order sockets are handed over in, the process that arranges them has them in its own.
func TestArrange(t *testing.T) {
	r := newRig(t)
	all := []Socket{tcp("127.0.0.1:" + free(t)), tcp(":" + free(t)), file(filepath.Join(t.TempDir(), "x.sock")), tcp("[::1]:" + free(t))}
	files := r.take("web", all...)
	for name, order := range map[string][]int{"as they come": {0, 1, 2, 3}, "backwards": {3, 2, 1, 0}, "turned": {1, 2, 3, 0}} {
		t.Run(name, func(t *testing.T) {
			var listeners []spawn.Listener
			for _, i := range order {
				listeners = append(listeners, spawn.Listener{File: files[i], Name: "x"})
			}
			got := arranged(t, r, listeners, all)
			for i, f := range files {
				if want := fmt.Sprintf("socket:[%d]", inode(t, f)); got[i] != want {
					t.Errorf("%s is %s, want %s", all[i], got[i], want)
				}
			}
		})
	}
	if got := arranged(t, r, []spawn.Listener{{File: files[0], Name: "x"}}, all[1:2]); !strings.Contains(got[0], "isn't among those") {
		t.Errorf("another socket: %q", got)
	}
	if got := arranged(t, r, []spawn.Listener{{File: files[0], Name: "x"}}, all[:2]); !strings.Contains(got[0], `"1" were handed over, and 2 are wanted`) {
		t.Errorf("too few: %q", got)
	}
	if err := Arrange(nil, func(string) string { return "1" }); err == nil {
		t.Error("another process's sockets are arranged")
	}
}

// arranged is what a process says that is handed sockets and wants them in an order.
func arranged(t *testing.T, r *rig, handed []spawn.Listener, want []Socket) []string {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	c := spawn.Cmd{Path: "/proc/self/exe", Args: []string{"test"}, Dir: "/", Stdout: out, Stderr: out, Listeners: handed, Env: []string{asArranged + "=1"}}
	for _, s := range want {
		c.Args = append(c.Args, s.Network, s.Address)
	}
	p, err := r.Spawner.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	defer p.FD.Close()
	r.eventually("it ends", func() bool { ended, err := p.FD.Ended(); return ended || err != nil })
	p.FD.Status(p.PID, false)
	text, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

// arrange prints the sockets that this process has once they are in the order of its arguments.
func arrange(args []string) {
	var want []Socket
	for ; len(args) > 1; args = args[2:] {
		want = append(want, Socket{Network: args[0], Address: args[1]})
	}
	if err := Arrange(want, os.Getenv); err != nil {
		fmt.Println(err)
		return
	}
	for i := range want {
		to, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", firstPassed+i))
		if err != nil {
			fmt.Println(err)
		}
		fmt.Println(to)
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

package sockets

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/spawn"
)

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

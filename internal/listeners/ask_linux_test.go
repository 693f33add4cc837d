package listeners

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	// asServer makes this test program a server on the address that it holds, asAsker one that asks who answers there.
	asServer = "LISTENERS_TEST_SERVE"
	asAsker  = "LISTENERS_TEST_ASK"
)

func TestMain(m *testing.M) {
	if at, ok := os.LookupEnv(asAsker); ok {
		a, err := Ask(netip.MustParseAddrPort(at), 0, func() ([]int, error) { return nil, nil })
		fmt.Println(a.Who == Hidden, err)
		os.Exit(0)
	}
	if where, ok := os.LookupEnv(asServer); ok {
		serve(where)
	}
	os.Exit(m.Run())
}

// serve listens on NETWORK ADDRESS until the input ends; without an address it only keeps descriptor 3.
func serve(where string) {
	network, address, _ := strings.Cut(where, " ")
	at := "nowhere"
	if address != "" {
		l, err := listen(network, address)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		at = l.Addr().String()
	}
	fmt.Println(at)
	_, _ = os.Stdin.Read(make([]byte, 1))
	os.Exit(0)
}

// listen shares its port with whoever else does.
func listen(network, address string) (net.Listener, error) {
	c := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		ctlErr := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
		if ctlErr != nil {
			return ctlErr
		}
		return err
	}}
	return c.Listen(context.Background(), network, address)
}

// server starts another process that listens, with files open too, and returns its number and the address.
func server(t *testing.T, network, address string, files ...*os.File) (pid int, at string) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{asServer + "=" + network + " " + address}
	cmd.ExtraFiles, cmd.Stderr = files, os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid, strings.TrimSpace(line)
}

// ask asks for the port of at on host, of a tree with these processes.
func ask(t *testing.T, host, at string, main int, members ...int) Answer {
	t.Helper()
	addr := netip.AddrPortFrom(netip.MustParseAddr(host), netip.MustParseAddrPort(at).Port())
	a, err := Ask(addr, main, func() ([]int, error) { return members, nil })
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAskKnowsTheTreeFromAStranger(t *testing.T) {
	daemon, at := server(t, "tcp", "127.0.0.1:0")
	bystander, _ := server(t, "tcp", "127.0.0.1:0")
	for name, got := range map[string]Answer{
		"the main process": ask(t, "127.0.0.1", at, daemon),
		"a worker":         ask(t, "127.0.0.1", at, bystander, bystander, daemon),
	} {
		if got.Who != Member {
			t.Errorf("%s: %+v", name, got)
		}
	}
	got := ask(t, "127.0.0.1", at, bystander, bystander)
	if got.Who != Stranger || got.PID != daemon || got.Command == "" {
		t.Errorf("a stranger: %+v", got)
	}
	if got := ask(t, "127.0.0.1", at, 0); got.Who != Stranger {
		t.Errorf("a tree without processes: %+v", got)
	}
}

func TestAskOfWhatCannotBeTold(t *testing.T) {
	_, at := server(t, "tcp", "127.0.0.1:0")
	if got := ask(t, "192.0.2.1", at, 0); got.Who != Nobody {
		t.Errorf("an address of another machine: %+v", got)
	}
	if got := ask(t, "127.0.0.2", at, 0); got.Who != Nobody {
		t.Errorf("an address where nobody listens: %+v", got)
	}
}

// TestAskAsksTheTreeAgain: a worker that was made after the first look is none the less one of the tree.
func TestAskAsksTheTreeAgain(t *testing.T) {
	worker, at := server(t, "tcp", "127.0.0.1:0")
	looks := 0
	a, err := Ask(netip.MustParseAddrPort(at), os.Getpid(), func() ([]int, error) {
		if looks++; looks == 1 {
			return []int{os.Getpid()}, nil
		}
		return []int{os.Getpid(), worker}, nil
	})
	if err != nil || a.Who != Member || looks != 2 {
		t.Errorf("%+v, %v after %d looks", a, err, looks)
	}
}

// TestAskOfASocketThatWasHandedOn: whoever made the socket, a worker of the tree that has it answers too.
func TestAskOfASocketThatWasHandedOn(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	worker, _ := server(t, "", "", f)
	if got := ask(t, "127.0.0.1", l.Addr().String(), 0, worker); got.Who != Member {
		t.Errorf("%+v", got)
	}
}

func TestAskOfAWildcard(t *testing.T) {
	daemon, at := server(t, "tcp6", "[::]:0")
	both, bothAt := server(t, "tcp", ":0")
	for _, c := range []struct {
		host, at string
		pid      int
	}{{"::1", at, daemon}, {"127.0.0.1", bothAt, both}, {"::1", bothAt, both}} {
		if got := ask(t, c.host, c.at, c.pid); got.Who != Member {
			t.Errorf("%s %s: %+v", c.host, c.at, got)
		}
		if got := ask(t, c.host, c.at, 0); got.Who != Stranger || got.PID != c.pid {
			t.Errorf("%s %s without the tree: %+v", c.host, c.at, got)
		}
	}
}

// TestAskOfASharedPort: where a stranger shares the port, either may have answered; where he took the very address from one who listens on all, he did.
func TestAskOfASharedPort(t *testing.T) {
	daemon, at := server(t, "tcp4", "0.0.0.0:0")
	_, port, _ := net.SplitHostPort(at)
	server(t, "tcp4", "0.0.0.0:"+port)
	if got := ask(t, "127.0.0.1", at, daemon, daemon); got.Who != Member {
		t.Errorf("a port that is shared: %+v", got)
	}
	squatter, _ := server(t, "tcp4", "127.0.0.1:"+port)
	if got := ask(t, "127.0.0.1", at, daemon, daemon); got.Who != Stranger || got.PID != squatter {
		t.Errorf("a port whose address was taken: %+v, want process %d", got, squatter)
	}
}

// TestAskOfAProcessThatCannotBeSeen: nobody may look at what root has open, so it is no stranger to him.
func TestAskOfAProcessThatCannotBeSeen(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("run as root to see what this test can show")
		return
	}
	_, at := server(t, "tcp", "127.0.0.1:0")
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{asAsker + "=" + at}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "true <nil>\n" {
		t.Errorf("hidden: %s, %v", out, err)
	}
}

func BenchmarkAskMain(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	addr := netip.MustParseAddrPort(l.Addr().String())
	for b.Loop() {
		if a, err := Ask(addr, os.Getpid(), nil); err != nil || a.Who != Member {
			b.Fatal(a, err)
		}
	}
}

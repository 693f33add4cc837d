package labhost

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Server is a machine with a kernel of its own that stands in the lab's network: systemd booted it, and sshd answers. There is no way in but that. Its clock is its own,
// and its network card may be as bad as netem makes it.
type Server struct {
	// Addr is its IP address in the lab's network: see Dial.
	Addr string

	lab    *Lab
	cancel context.CancelFunc
	ended  chan struct{}
	said   Output
}

// ServerOptions are what a Server is.
type ServerOptions struct {
	// Clock is how far its clock is ahead of this machine's; it is behind where negative.
	Clock time.Duration
	// Netem is what tc-netem(8) does to each packet that it sends, as in "delay 20ms loss 5%"; empty: nothing.
	Netem string
	// Files are files that it has, by their absolute paths: all are root's, keys and what is in a .ssh nobody else's to read.
	Files map[string]string
	Binds []Bind
}

// StartServer boots a machine, which is gone when the test ends. It takes some seconds.
func StartServer(t testing.TB, o ServerOptions) *Server {
	t.Helper()
	began := time.Now()
	s, err := theLab(t).startServer(t.Context(), o)
	if err != nil {
		t.Fatalf("start a machine: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the machine said:\n%s", &s.said)
		}
		s.cancel()
		<-s.ended
	})
	if err := s.awaitSSH(t.Context()); err != nil {
		t.Fatalf("start a machine: %v", err)
	}
	t.Logf("a machine booted in %s", time.Since(began).Round(time.Millisecond))
	return s
}

func (l *Lab) startServer(ctx context.Context, o ServerOptions) (*Server, error) {
	binary, err := l.machineBinary(ctx)
	if err != nil {
		return nil, err
	}
	m := &machineServer{Clock: o.Clock, Netem: o.Netem, Files: o.Files}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &Server{lab: l, cancel: cancel, ended: make(chan struct{})}
	cmd, remove, err := l.machine(ctx, machineSpec{
		Kind: LimitsSystemd, Binds: append([]Bind{{binary, binaryDir + "/test"}, {umlModules, umlModules}}, o.Binds...), Server: m,
	})
	if err != nil {
		cancel()
		return nil, err
	}
	s.Addr, cmd.Stdout, cmd.Stderr = m.Addr, &s.said, &s.said
	go func() {
		defer close(s.ended)
		if err := errors.Join(cmd.Run(), m.unplug(l), remove()); err != nil {
			fmt.Fprintln(&s.said, err)
		}
	}()
	return s, nil
}

// Dial connects to an address of the lab's network. The connection may be used anywhere.
func (s *Server) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return s.lab.dial(ctx, network, address)
}

// Beside is as that of a Host.
func (s *Server) Beside() []string { return s.lab.Beside() }

// awaitSSH waits until sshd answers.
func (s *Server) awaitSSH(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := s.greets(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for its sshd: %w", err)
		case <-s.ended:
			return errors.New("it ended")
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (s *Server) greets(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := s.Dial(ctx, "tcp", s.Addr+":22")
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	greeting := make([]byte, 4)
	if err := conn.SetReadDeadline(deadline); err != nil {
		return err
	}
	if _, err := conn.Read(greeting); err != nil {
		return err
	}
	if string(greeting) != "SSH-" {
		return fmt.Errorf("it said %q", greeting)
	}
	return nil
}

// machineServer is the part of a machineSpec that says what a Server is.
type machineServer struct {
	Number int
	Addr   string
	Clock  time.Duration
	Netem  string
	Files  map[string]string
}

const card = "vec0" // what its kernel calls its network card

// plugIn makes the machine's cable, in the lab's network, and returns what tells its kernel of it.
func (m *machineServer) plugIn() (string, error) {
	port := fmt.Sprintf("m%d", m.Number)
	return fmt.Sprintf("%s:transport=tap,ifname=%s,depth=64,gro=1,mac=%s", card, port, hardwareAddr(m.Number)),
		ip("tuntap add dev "+port+" mode tap", "link set "+port+" master br0 up")
}

// unplug takes its cable away.
func (m *machineServer) unplug(l *Lab) error {
	return l.inNetwork(func() error { return ip(fmt.Sprintf("link del m%d", m.Number)) })
}

// files adds those that it boots by.
func (m *machineServer) files(all map[string]string) {
	maps.Copy(all, m.Files)
	all["/etc/systemd/system/lab.target"] = "[Unit]\nRequires=basic.target\nAfter=basic.target\nWants=dbus.service ssh.service\nAllowIsolate=yes\n"
	all["/etc/ssh/sshd_config.d/90-lab.conf"] = "UsePAM no\n" // a session of logind's takes seconds there
}

// setUp is done by process 1, before it becomes systemd.
func (m *machineServer) setUp() error {
	now := unix.NsecToTimespec(time.Now().Add(m.Clock).UnixNano())
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &now); err != nil {
		return fmt.Errorf("set the clock: %w", err)
	}
	if err := os.Setenv("PATH", hostPath); err != nil {
		return err
	}
	if err := ip("link set lo up", "addr add "+m.Addr+"/24 dev "+card, "link set "+card+" up", "route add default via "+gateway); err != nil {
		return err
	}
	if m.Netem == "" {
		return nil
	}
	if err := loadModule("net/sched/sch_netem"); err != nil {
		return err
	}
	return batch("tc", "qdisc add dev "+card+" root netem "+m.Netem)
}

// umlModules is where User Mode Linux has its modules.
const umlModules = "/usr/lib/uml/modules"

// loadModule loads a module into the kernel of a machine.
func loadModule(name string) error {
	found, err := filepath.Glob(filepath.Join(umlModules, "*", "kernel", name+".ko"))
	if err != nil || len(found) == 0 {
		return fmt.Errorf("load module %s: there is none in %s", name, umlModules)
	}
	f, err := os.Open(found[0])
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil {
		return fmt.Errorf("load module %s: %w", name, err)
	}
	return nil
}

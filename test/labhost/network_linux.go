package labhost

import (
	"context"
	"fmt"
	"math"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Beside begins the command line of a program of this machine that is to run in the lab's network, as on a machine beside the host, and nothing else of it differs. The program
// becomes the process that is started.
func (h *Host) Beside() []string { return h.lab.Beside() }

// Beside is as that of a host.
func (l *Lab) Beside() []string { return []string{"nsenter", "--net=" + l.namespace("net"), "--"} }

// Net plugs the host's network cable in or out.
func (h *Host) Net(up bool) error {
	state := "down"
	if up {
		state = "up"
	}
	return h.lab.inNetwork(func() error { return ip("link set " + h.port() + " " + state) })
}

// port is the host's end of the bridge.
func (h *Host) port() string { return fmt.Sprintf("v%d", h.spec.Number) }

// Lose has the host's cable lose each packet, of either way, with probability p, which is less than 1. With 0 it loses none any more. A boot mends it, too.
func (h *Host) Lose(p float64) error {
	if p < 0 || p >= 1 {
		return fmt.Errorf("lose packets of %s with probability %g: it must be in [0, 1)", h.Name, p)
	}
	return h.lab.inNetwork(func() error {
		commands := []string{"qdisc replace dev " + h.port() + " clsact"}
		if p == 0 {
			return batch("tc", append(commands, "qdisc del dev "+h.port()+" clsact")...)
		}
		for _, way := range []string{"ingress", "egress"} {
			commands = append(commands, fmt.Sprintf("filter replace dev %s %s pref 1 handle 1 bpf da bytecode %q", h.port(), way, losing(p)))
		}
		return batch("tc", commands...)
	})
}

// losing is the classifier that drops a packet with probability p, in the notation of tc-bpf(8): netem does the same where the kernel has it, and this one's kernel may not.
// It loads a random number (SKF_AD_RANDOM), and where that is greater than the share that passes says TC_ACT_SHOT, else TC_ACT_UNSPEC.
func losing(p float64) string {
	return fmt.Sprintf("4,32 0 0 %d,37 0 1 %d,6 0 0 2,6 0 0 %d", uint32(math.MaxUint32-0x1000+1+56), uint32((1-p)*math.MaxUint32), uint32(math.MaxUint32))
}

// Dial connects to an address of the lab's network, as in "10.77.0.2:22". The connection may be used anywhere.
func (h *Host) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return h.lab.dial(ctx, network, address)
}

func (l *Lab) dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = l.inNetwork(func() error {
		var d net.Dialer
		conn, err = d.DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Listen listens on an address of the lab's network, as who is beside the host sees it: "127.0.0.1:0" is for programs of Beside. The listener may be used anywhere.
func (h *Host) Listen(ctx context.Context, network, address string) (l net.Listener, err error) {
	err = h.lab.inNetwork(func() error {
		var c net.ListenConfig
		l, err = c.Listen(ctx, network, address)
		return err
	})
	return l, err
}

// inNetwork runs do on a thread in the lab's network namespace.
func (l *Lab) inNetwork(do func() error) error {
	result := make(chan error)
	go func() {
		result <- func() error {
			runtime.LockOSThread() // the thread ends with this goroutine, unless it gets back home
			home, err := os.Open("/proc/thread-self/ns/net")
			if err != nil {
				return err
			}
			defer home.Close()
			there, err := os.Open(l.namespace("net"))
			if err != nil {
				return err
			}
			defer there.Close()
			if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("enter the lab's network: %w", err)
			}
			defer func() {
				if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
					runtime.UnlockOSThread()
				}
			}()
			return do()
		}()
	}()
	return <-result
}

package listeners

import (
	"net"
	"net/netip"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPortsOfThisProcess has sockets of each kind, and others that nobody can reach it by.
func TestPortsOfThisProcess(t *testing.T) {
	before, err := new(Tables).Of([]int{os.Getpid()})
	if err != nil {
		t.Fatal(err)
	}
	var want []Port
	add := func(network, address string, at net.Addr) {
		p := netip.MustParseAddrPort(at.String())
		want = append(want, Port{Network: network, Address: address, Port: int(p.Port()), PID: os.Getpid()})
	}
	for network, address := range map[string]string{"tcp": "127.0.0.1:0", "tcp6": "[::1]:0"} {
		l, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		add(network, netip.MustParseAddrPort(l.Addr().String()).Addr().String(), l.Addr())
		c, err := net.Dial(network, l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	for network, address := range map[string]string{"udp": "127.0.0.1:0", "udp6": "[::1]:0"} {
		l, err := net.ListenPacket(network, address)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		add(network, netip.MustParseAddrPort(l.LocalAddr().String()).Addr().String(), l.LocalAddr())
		c, err := net.Dial(network, l.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	got, err := new(Tables).Of([]int{os.Getpid(), os.Getpid(), 1 << 22})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(tidy(append(want, before...)), got); diff != "" {
		t.Error(diff)
	}
}

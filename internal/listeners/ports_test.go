package listeners

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const udpTable = `   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  100: 0100007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 11 2 0000000000000000 0
  101: 0100007F:C001 0100007F:0035 01 00000000:00000000 00:00000000 00000000     0        0 12 2 0000000000000000 0
  102: 00000000:0044 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 13 2 0000000000000000 0
`

func TestUDPSocketsThatReceiveFromAnybody(t *testing.T) {
	got, err := ParseUDP(strings.NewReader(udpTable))
	if err != nil {
		t.Fatal(err)
	}
	want := []Socket{{netip.MustParseAddrPort("127.0.0.1:53"), 11}, {netip.MustParseAddrPort("0.0.0.0:68"), 13}}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	if _, err := ParseUDP(strings.NewReader("head\n1: 2\n")); err == nil {
		t.Error("a line that isn't one is taken for a socket")
	}
}

func TestAPortThatManyHaveOpenIsShownOnce(t *testing.T) {
	web := func(pid int) Port {
		return portOf("tcp", netip.MustParseAddrPort("[::ffff:10.0.0.1]:80"), pid)
	}
	got := tidy([]Port{web(9), {"udp", "::", 53, 9}, web(7), {"tcp", "127.0.0.1", 80, 8}})
	want := []Port{{"udp", "::", 53, 9}, web(7), {"tcp", "127.0.0.1", 80, 8}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

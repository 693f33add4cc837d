package listeners

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const header = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"

// line is one socket as the kernel of this machine writes it.
func line(addr string, state string, inode uint64) string {
	ap := netip.MustParseAddrPort(addr)
	var text strings.Builder
	for word := ap.Addr().AsSlice(); len(word) > 0; word = word[4:] {
		fmt.Fprintf(&text, "%08X", binary.NativeEndian.Uint32(word))
	}
	return fmt.Sprintf("   0: %s:%04X 00000000:0000 %s 00000000:00000000 00:00000000 00000000     0        0 %d 1 0000000000000000 100 0 0 10 0                     \n", &text, ap.Port(), state, inode)
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name, table string
		want        map[string]uint64
		err         string
	}{
		{name: "nothing", table: ""},
		{name: "no socket", table: header},
		{name: "two", table: header + line("127.0.0.1:8080", "0A", 17) + line("0.0.0.0:80", "0A", 18), want: map[string]uint64{"127.0.0.1:8080": 17, "0.0.0.0:80": 18}},
		{name: "IPv6", table: header + line("[2001:db8::1]:443", "0A", 1) + line("[::]:443", "0A", 2), want: map[string]uint64{"[2001:db8::1]:443": 1, "[::]:443": 2}},
		{name: "IPv4 mapped", table: header + line("[::ffff:10.1.2.3]:1", "0A", 1), want: map[string]uint64{"[::ffff:10.1.2.3]:1": 1}},
		{name: "connections are behind what listens", table: header + line("1.2.3.4:5", "0A", 1) + line("1.2.3.4:5", "01", 2) + "whatever that is, in ten words or more than that\n", want: map[string]uint64{"1.2.3.4:5": 1}},
		{name: "half a line", table: header + "   0: 0100007F:1F90 000000", err: "3 fields"},
		{name: "no port", table: header + strings.Replace(line("1.2.3.4:5", "0A", 1), ":0005", "", 1), err: "no port"},
		{name: "a port too far", table: header + strings.Replace(line("1.2.3.4:5", "0A", 1), ":0005", ":10000", 1), err: "out of range"},
		{name: "an address of 6 bytes", table: header + strings.Replace(line("1.2.3.4:5", "0A", 1), ":0005", "0000:0005", 1), err: "6 bytes"},
		{name: "no hexadecimal digits", table: header + strings.Replace(line("1.2.3.4:5", "0A", 1), ":0005", "zz:0005", 1), err: "invalid byte"},
		{name: "no inode", table: header + strings.Replace(line("1.2.3.4:5", "0A", 77), " 77 ", " x ", 1), err: "inode"},
	} {
		t.Run(c.name, func(t *testing.T) {
			found, err := Parse(strings.NewReader(c.table))
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Fatalf("got error %v, want %q", err, c.err)
			}
			got := map[string]uint64{}
			for _, s := range found {
				got[s.Addr.String()] = s.Inode
			}
			if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); err == nil && diff != "" {
				t.Error(diff)
			}
		})
	}
}

// FuzzParse holds that no table makes Parse fail otherwise than by an error, and that it reads what it understood to mean itself when it is written again.
func FuzzParse(f *testing.F) {
	f.Add(header + line("127.0.0.1:8080", "0A", 17) + line("127.0.0.1:8080", "01", 18))
	f.Add(header + line("[::]:443", "0A", 2))
	f.Add(header + "   0: 0100007F:1F90 00000000")
	f.Add("")
	f.Fuzz(func(t *testing.T, table string) {
		found, err := Parse(strings.NewReader(table))
		if err != nil {
			return
		}
		var again strings.Builder
		again.WriteString(header)
		for _, s := range found {
			again.WriteString(line(s.Addr.String(), "0A", s.Inode))
		}
		second, err := Parse(strings.NewReader(again.String()))
		if err != nil || len(second) != len(found) {
			t.Fatalf("%q was read as %v, and that as %v (%v)", table, found, second, err)
		}
		for i := range found {
			if found[i] != second[i] {
				t.Errorf("%v was read as %v", found[i], second[i])
			}
		}
	})
}

func TestAnswering(t *testing.T) {
	for _, c := range []struct {
		name    string
		sockets []string
		addr    string
		want    []int // places in sockets
	}{
		{"nobody", nil, "127.0.0.1:80", nil},
		{"another port", []string{"127.0.0.1:81"}, "127.0.0.1:80", nil},
		{"another address", []string{"127.0.0.2:80"}, "127.0.0.1:80", nil},
		{"the very address", []string{"127.0.0.1:80"}, "127.0.0.1:80", []int{0}},
		{"all addresses", []string{"0.0.0.0:80"}, "127.0.0.1:80", []int{0}},
		{"all addresses of both kinds", []string{"[::]:80"}, "127.0.0.1:80", []int{0}},
		{"the address goes first", []string{"0.0.0.0:80", "127.0.0.1:80", "[::]:80"}, "127.0.0.1:80", []int{1}},
		{"then the address as an IPv6 socket has it", []string{"0.0.0.0:80", "[::ffff:127.0.0.1]:80"}, "127.0.0.1:80", []int{1}},
		{"then IPv4", []string{"[::]:80", "0.0.0.0:80"}, "127.0.0.1:80", []int{1}},
		{"one port, many sockets", []string{"0.0.0.0:80", "[::]:80", "0.0.0.0:80"}, "127.0.0.1:80", []int{0, 2}},
		{"IPv6", []string{"0.0.0.0:80", "[::]:80"}, "[::1]:80", []int{1}},
		{"the very IPv6 address", []string{"[::]:80", "[::1]:80"}, "[::1]:80", []int{1}},
		{"IPv4 is no answer to IPv6", []string{"0.0.0.0:80", "[::ffff:0.0.0.0]:80"}, "[::1]:80", nil},
		{"a zone is no part of the address", []string{"[fe80::1]:80"}, "[fe80::1%eth0]:80", []int{0}},
		{"a mapped address is the address", []string{"127.0.0.1:80"}, "[::ffff:127.0.0.1]:80", []int{0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var sockets []Socket
			for i, s := range c.sockets {
				sockets = append(sockets, Socket{netip.MustParseAddrPort(s), uint64(i)})
			}
			var got []int
			for _, s := range Answering(sockets, netip.MustParseAddrPort(c.addr)) {
				got = append(got, int(s.Inode))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

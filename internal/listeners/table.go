package listeners

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
)

// Socket is a socket that listens, or receives from anybody.
type Socket struct {
	// Addr is what it is bound to. An IPv4 address of an IPv6 socket is in its mapped form, ::ffff:a.b.c.d.
	Addr netip.AddrPort
	// Inode is the number by which /proc/PID/fd names it.
	Inode uint64
}

// The fields of a line of /proc/net/tcp, and what state listening is: see proc_pid_net(5) and the kernel's include/net/tcp_states.h.
const (
	fieldLocal, fieldRemote, fieldState, fieldInode = 1, 2, 3, 9
	stateListen                                     = "0A"
)

// lineSize is as much as the kernel makes of one socket. It makes as many lines as are asked for, and those behind what listens may take it long to find.
const lineSize = 160

// parser reads the sockets of a table on which somebody may answer.
type parser func(table io.Reader) ([]Socket, error)

// Parse reads the sockets that listen from a table with the format of /proc/net/tcp or /proc/net/tcp6. The kernel lists these first, of however many
// connections there are, and Parse reads no further.
func Parse(table io.Reader) ([]Socket, error) {
	return parse(table, func(f [][]byte) (wanted, more bool) {
		listens := string(f[fieldState]) == stateListen
		return listens, listens
	})
}

// ParseUDP reads the sockets that receive from anybody from a table with the format of /proc/net/udp or /proc/net/udp6.
func ParseUDP(table io.Reader) ([]Socket, error) {
	return parse(table, func(f [][]byte) (wanted, more bool) {
		from, err := parseAddr(f[fieldRemote])
		return err == nil && from.Port() == 0 && from.Addr().IsUnspecified(), true
	})
}

// parse reads the lines that look wants, as long as there may be more.
func parse(table io.Reader, look func(fields [][]byte) (wanted, more bool)) ([]Socket, error) {
	lines := bufio.NewScanner(table)
	lines.Buffer(make([]byte, lineSize), bufio.MaxScanTokenSize)
	if !lines.Scan() {
		return nil, lines.Err()
	}
	var found []Socket
	for lines.Scan() {
		f := bytes.Fields(lines.Bytes())
		if len(f) <= fieldInode {
			return nil, fmt.Errorf("parse the table of sockets: %d fields in %q", len(f), lines.Bytes())
		}
		wanted, more := look(f)
		if !more {
			break
		}
		if !wanted {
			continue
		}
		addr, err := parseAddr(f[fieldLocal])
		if err != nil {
			return nil, fmt.Errorf("parse the table of sockets: address %q: %w", f[fieldLocal], err)
		}
		inode, err := strconv.ParseUint(string(f[fieldInode]), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("parse the table of sockets: inode: %w", err)
		}
		found = append(found, Socket{addr, inode})
	}
	return found, lines.Err()
}

// parseAddr reads ADDRESS:PORT in hexadecimal digits. The address is written as 32-bit words of the machine's byte order.
func parseAddr(text []byte) (netip.AddrPort, error) {
	address, port, ok := bytes.Cut(text, []byte(":"))
	if !ok {
		return netip.AddrPort{}, errors.New("it has no port")
	}
	raw, err := hex.DecodeString(string(address))
	if err != nil {
		return netip.AddrPort{}, err
	}
	if len(raw) != 4 && len(raw) != 16 {
		return netip.AddrPort{}, fmt.Errorf("it has %d bytes", len(raw))
	}
	for word := raw; len(word) > 0; word = word[4:] {
		binary.NativeEndian.PutUint32(word, binary.BigEndian.Uint32(word))
	}
	n, err := strconv.ParseUint(string(port), 16, 16)
	if err != nil {
		return netip.AddrPort{}, err
	}
	a, _ := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(a, uint16(n)), nil
}

// Answering returns those of the sockets among which the kernel chooses who gets a connection to addr: more than one where they share the port (SO_REUSEPORT), none where
// nobody listens. A socket that is bound to the address itself is preferred to one that is bound to all, and one for IPv4 only to one for both.
func Answering(sockets []Socket, addr netip.AddrPort) (best []Socket) {
	most := 0
	for _, s := range sockets {
		switch score := score(s.Addr, addr); {
		case score == 0 || score < most:
		case score == most:
			best = append(best, s)
		default:
			most, best = score, []Socket{s}
		}
	}
	return best
}

// score is how much the kernel likes a socket for connections to addr; 0: not at all.
func score(bound, addr netip.AddrPort) int {
	if bound.Port() != addr.Port() {
		return 0
	}
	target := addr.Addr().Unmap().WithZone("")
	switch on := bound.Addr(); {
	case on.Unmap() == target && on.Is4():
		return 4
	case on.Unmap() == target:
		return 3
	case on.Is4() && on.IsUnspecified() && target.Is4():
		return 2
	case on == netip.IPv6Unspecified(), on.Unmap() == netip.IPv4Unspecified() && target.Is4():
		return 1
	}
	return 0
}

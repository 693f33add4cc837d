package listeners

import (
	"cmp"
	"net/netip"
	"slices"
)

// Port is a socket of a process that listens, or, with udp, receives from anybody.
type Port struct {
	// Network is tcp, tcp6, udp or udp6.
	Network string
	// Address is a numeric IP address.
	Address string
	Port    int
	// PID is the lowest of the processes that have it open.
	PID int
}

// kind is a table of sockets of the kernel: see proc_pid_net(5).
type kind struct {
	// network is its name, also that of the file.
	network string
	parse   parser
}

func kinds() []kind {
	return []kind{{"tcp", Parse}, {"tcp6", Parse}, {"udp", ParseUDP}, {"udp6", ParseUDP}}
}

// portOf is how a socket is shown: an IPv4 address of an IPv6 socket as what it is.
func portOf(network string, addr netip.AddrPort, pid int) Port {
	return Port{Network: network, Address: addr.Addr().Unmap().String(), Port: int(addr.Port()), PID: pid}
}

// tidy sorts ports and leaves one of each address.
func tidy(ports []Port) []Port {
	slices.SortFunc(ports, func(a, b Port) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Network, b.Network), cmp.Compare(a.Address, b.Address), cmp.Compare(a.PID, b.PID))
	})
	return slices.CompactFunc(ports, func(a, b Port) bool { b.PID = a.PID; return a == b })
}

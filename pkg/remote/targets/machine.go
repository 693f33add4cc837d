package targets

import (
	"net"
	"net/netip"
	"os"
	"strings"
)

// Machine is by what one machine is known to itself.
type Machine struct {
	// Names are in any case; a name with dots is also known by its first part.
	Names     []string
	Addresses []netip.Addr
}

// ThisMachine looks up the name of this machine and the addresses of its interfaces. It asks no name server. What can't be looked up isn't in it.
func ThisMachine() Machine {
	var m Machine
	if name, err := os.Hostname(); err == nil {
		m.Names = []string{name}
	}
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		return m
	}
	for _, i := range interfaces {
		if prefix, err := netip.ParsePrefix(i.String()); err == nil {
			m.Addresses = append(m.Addresses, prefix.Addr())
		}
	}
	return m
}

// is says whether a name or an address is the machine's.
func (m Machine) is(host string) bool {
	if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return m.has(a.Unmap())
	}
	host = strings.TrimSuffix(host, ".")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	for _, name := range m.Names {
		short, _, _ := strings.Cut(name, ".")
		if name != "" && (strings.EqualFold(host, name) || strings.EqualFold(host, short)) {
			return true
		}
	}
	return false
}

func (m Machine) has(a netip.Addr) bool {
	if a.IsLoopback() {
		return true
	}
	for _, mine := range m.Addresses {
		if mine.Unmap().WithZone("") == a.WithZone("") {
			return true
		}
	}
	return false
}

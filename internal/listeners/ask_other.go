//go:build !linux

package listeners

import "net/netip"

// Ask tells nothing on this system.
func Ask(netip.AddrPort, int, func() ([]int, error)) (Answer, error) { return Answer{Who: Hidden}, nil }

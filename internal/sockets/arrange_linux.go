package sockets

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// firstPassed is the descriptor of the first socket that a process is given: SD_LISTEN_FDS_START.
const firstPassed = 3

// Arrange puts the sockets that this process was given as in sd_listen_fds(3) into the order of want, which must be all of them. It knows them by their addresses. getenv is os.Getenv.
func Arrange(want []Socket, getenv func(string) string) error {
	if pid := getenv("LISTEN_PID"); pid != strconv.Itoa(os.Getpid()) {
		return fmt.Errorf("arrange sockets: they are for process %q, and this is %d", pid, os.Getpid())
	}
	if n := getenv("LISTEN_FDS"); n != strconv.Itoa(len(want)) {
		return fmt.Errorf("arrange sockets: %q were handed over, and %d are wanted", n, len(want))
	}
	is := make([]int, len(want)) // where each was moved, out of the way
	for i := range want {
		fd, err := unix.FcntlInt(uintptr(firstPassed+i), unix.F_DUPFD_CLOEXEC, firstPassed+len(want))
		if err != nil {
			return fmt.Errorf("arrange sockets: %w", err)
		}
		is[i] = fd
	}
	for i, s := range want {
		fd, err := s.among(is)
		if err != nil {
			return fmt.Errorf("arrange sockets: %s: %w", s, err)
		}
		if err := unix.Dup3(fd, firstPassed+i, 0); err != nil {
			return fmt.Errorf("arrange sockets: %w", err)
		}
	}
	return nil
}

// among is the descriptor that listens where s does.
func (s Socket) among(fds []int) (int, error) {
	for _, fd := range fds {
		at, err := unix.Getsockname(fd)
		if err != nil {
			return 0, err
		}
		if s.at(at) {
			return fd, nil
		}
	}
	return 0, errors.New("it isn't among those that were handed over")
}

// at tells whether a is where s listens.
func (s Socket) at(a unix.Sockaddr) bool {
	var addr netip.Addr
	var port int
	switch a := a.(type) {
	case *unix.SockaddrUnix:
		return s.Network == "unix" && a.Name == s.Address
	case *unix.SockaddrInet4:
		addr, port = netip.AddrFrom4(a.Addr), a.Port
	case *unix.SockaddrInet6:
		addr, port = netip.AddrFrom16(a.Addr), a.Port
	default:
		return false
	}
	host, want, err := splitPort(s.Address)
	if s.Network != "tcp" || err != nil || want != port {
		return false
	}
	if host == "" {
		return addr.IsUnspecified()
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip == addr
}

package sockets

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// backlog is how many connections wait for a daemon that isn't there yet. The kernel lowers it to net.core.somaxconn.
const backlog = 1 << 16

// held is a socket that is open.
type held struct {
	Socket
	fd int
	// file is which file stands at the path.
	file fileID
	// by are the names of those that want it.
	by map[string]bool
}

type fileID struct {
	dev, ino uint64
}

// open opens a socket and listens on it. Its flags are those that systemd.socket(5) has by default, so that a daemon can't tell the difference.
func open(s Socket) (*held, error) {
	h := &held{Socket: s, fd: -1, by: map[string]bool{}}
	var err error
	if s.Network == "unix" {
		err = h.openUnix()
	} else {
		err = h.openTCP()
	}
	if err == nil {
		err = unix.Listen(h.fd, backlog)
	}
	if err != nil {
		h.close()
		return nil, fmt.Errorf("listen on %s: %w", s, err)
	}
	return h, nil
}

// Try tells whether this process could have the address of a socket, whoever else has it now. Nobody is listened to, and of a path nothing is looked at.
func Try(s Socket) error {
	if s.Network != "tcp" {
		return nil
	}
	h := &held{Socket: s, fd: -1}
	err := h.openTCP()
	h.close()
	if err == nil || errors.Is(err, unix.EADDRINUSE) {
		return nil
	}
	return fmt.Errorf("listen on %s: %w", s, err)
}

func (h *held) openTCP() error {
	host, port, err := splitPort(h.Address)
	if err != nil {
		return err
	}
	addr, err := netip.ParseAddr(host)
	if host == "" {
		addr, err = netip.IPv6Unspecified(), nil
	}
	if err != nil {
		return err
	}
	err = h.bindTCP(addr, port)
	if host == "" && errors.Is(err, unix.EAFNOSUPPORT) {
		err = h.bindTCP(netip.IPv4Unspecified(), port)
	}
	return err
}

func splitPort(address string) (string, int, error) {
	i := strings.LastIndexByte(address, ':')
	port, err := strconv.ParseUint(address[i+1:], 10, 16)
	if i < 0 || err != nil {
		return "", 0, fmt.Errorf("%q is no HOST:PORT", address)
	}
	return strings.Trim(address[:i], "[]"), int(port), nil
}

func (h *held) bindTCP(addr netip.Addr, port int) (err error) {
	family, to := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Port: port})
	if addr.Is4() {
		to.(*unix.SockaddrInet4).Addr = addr.As4()
	} else {
		family, to = unix.AF_INET6, &unix.SockaddrInet6{Port: port, Addr: addr.As16()}
	}
	if h.fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return fmt.Errorf("make a socket: %w", err)
	}
	if err := unix.SetsockoptInt(h.fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return fmt.Errorf("set SO_REUSEADDR: %w", err)
	}
	if family == unix.AF_INET6 {
		if err := unix.SetsockoptInt(h.fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0); err != nil {
			return fmt.Errorf("set IPV6_V6ONLY: %w", err)
		}
	}
	return unix.Bind(h.fd, to)
}

// openUnix makes the file at a path, and its directory where there is none. What is left there of a socket on which nobody listens goes.
func (h *held) openUnix() error {
	if err := os.MkdirAll(filepath.Dir(h.Address), 0o755); err != nil {
		return err
	}
	err := h.bindUnix()
	if !errors.Is(err, unix.EADDRINUSE) || !abandoned(h.Address) {
		return err
	}
	if err := unix.Unlink(h.Address); err != nil {
		return fmt.Errorf("remove the socket that was left there: %w", err)
	}
	return h.bindUnix()
}

func (h *held) bindUnix() (err error) {
	h.close()
	if h.fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return fmt.Errorf("make a socket: %w", err)
	}
	if err := unix.Bind(h.fd, &unix.SockaddrUnix{Name: h.Address}); err != nil {
		return err
	}
	return h.own()
}

// abandoned tells whether a path is that of a socket on which nobody listens.
func abandoned(path string) bool {
	if fi, err := os.Lstat(path); err != nil || fi.Mode().Type() != fs.ModeSocket {
		return false
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return errors.Is(unix.Connect(fd, &unix.SockaddrUnix{Name: path}), unix.ECONNREFUSED)
}

// own gives the file at the path to whom it shall belong. It holds on to the very file, so that nobody who may write to the directory has another one given away.
func (h *held) own() error {
	fd, err := unix.Open(h.Address, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("look at the socket's file: %w", err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return fmt.Errorf("look at the socket's file: it is none any more (%w)", err)
	}
	id := fileID{uint64(st.Dev), st.Ino}
	if h.file != (fileID{}) && h.file != id {
		return errMoved
	}
	h.file = id
	if int(st.Uid) != h.UID || int(st.Gid) != h.GID {
		if err := unix.Fchownat(fd, "", h.UID, h.GID, unix.AT_EMPTY_PATH); err != nil {
			return fmt.Errorf("give the socket's file to user %d, group %d: %w", h.UID, h.GID, err)
		}
	}
	if err := unix.Chmod(fmt.Sprintf("/proc/self/fd/%d", fd), uint32(h.Mode.Perm())); err != nil {
		return fmt.Errorf("set the mode of the socket's file: %w", err)
	}
	return nil
}

// errMoved says that another file stands at the path.
var errMoved = errors.New("another file stands in the place of the socket's")

// there tells whether connections still reach the socket: somebody may have removed the file, as some daemons do at their end.
func (h *held) there() bool {
	if h.Network != "unix" {
		return true
	}
	id, ok := fileAt(h.Address)
	return ok && id == h.file
}

func fileAt(path string) (fileID, bool) {
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil {
		return fileID{}, false
	}
	return fileID{uint64(st.Dev), st.Ino}, true
}

// close closes the socket and removes its file.
func (h *held) close() {
	if h.fd < 0 {
		return
	}
	if h.Network == "unix" && h.file != (fileID{}) && h.there() {
		_ = unix.Unlink(h.Address)
	}
	unix.Close(h.fd)
	h.fd, h.file = -1, fileID{}
}

// Busy tells whether somebody listens where s is to: an error then wraps ErrInUse. Any other says why nobody can. It opens the socket for an instant.
func Busy(s Socket) error {
	s.UID, s.GID = os.Geteuid(), os.Getegid()
	h, err := open(s)
	switch {
	case err == nil:
		h.close()
		return nil
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("%w: %w", err, ErrInUse)
	default:
		return err
	}
}

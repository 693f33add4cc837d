package web

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Address is where to listen.
type Address struct {
	// Network is tcp or unix.
	Network string
	// Host and Port are of tcp. An empty host is all of the machine's addresses, and port 0 one that is free.
	Host string
	Port int
	// Path is of unix, and absolute.
	Path string
}

// ParseAddress takes HOST:PORT, as in 127.0.0.1:9640, or unix:PATH.
func ParseAddress(s string) (Address, error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if path == "" {
			return Address{}, fmt.Errorf("%q names no file: write unix:PATH", s)
		}
		path, err := filepath.Abs(path)
		if err != nil {
			return Address{}, fmt.Errorf("%s: %w", s, err)
		}
		if len(path) > 100 {
			return Address{}, fmt.Errorf("%s: a path of %d bytes is too long for a socket, which takes 100", s, len(path))
		}
		return Address{Network: "unix", Path: path}, nil
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return Address{}, fmt.Errorf("%q is no address: write HOST:PORT, as in 127.0.0.1:9640, or unix:PATH", s)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return Address{}, fmt.Errorf("%q: %q is no port: write a number up to 65535", s, port)
	}
	if host != "" && host != "localhost" && net.ParseIP(host) == nil {
		return Address{}, fmt.Errorf("%q: %q is a name, and what it means may change: write an IP address of this machine, or localhost", s, host)
	}
	return Address{Network: "tcp", Host: host, Port: int(n)}, nil
}

// Local says that nobody gets there who isn't on this machine: for tcp any of its users, for unix this one alone.
func (a Address) Local() bool {
	ip := net.ParseIP(a.Host)
	return a.Network == "unix" || a.Host == "localhost" || ip != nil && ip.IsLoopback()
}

// String is as ParseAddress takes it.
func (a Address) String() string {
	if a.Network == "unix" {
		return "unix:" + a.Path
	}
	return net.JoinHostPort(a.Host, strconv.Itoa(a.Port))
}

// Listen begins to listen. The file of a unix socket can be used by this account alone from the moment it is there; one that nobody listens on any more is replaced, and closing the
// listener removes it.
func Listen(ctx context.Context, a Address) (net.Listener, error) {
	if a.Network == "unix" {
		return listenUnix(ctx, a.Path)
	}
	host := a.Host
	if host == "localhost" { // whatever the resolver says of it
		host = "127.0.0.1"
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(a.Port)))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("listen on %s: another program does already: give another port, or 0 for one that is free: %w", a, err)
	case err != nil:
		return nil, fmt.Errorf("listen on %s: %w", a, err)
	}
	return l, nil
}

func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	l, err := bindUnix(ctx, path)
	if errors.Is(err, syscall.EADDRINUSE) {
		if err := removeDead(path); err != nil {
			return nil, fmt.Errorf("listen on unix:%s: %w", path, err)
		}
		l, err = bindUnix(ctx, path)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on unix:%s: %w", path, err)
	}
	return l, nil
}

// removeDead removes the file of a socket that nobody listens on.
func removeDead(path string) error {
	fi, err := os.Lstat(path)
	switch {
	case err != nil:
		return err
	case fi.Mode().Type() != fs.ModeSocket:
		return errors.New("there is a file that isn't a socket: remove it, or give another path")
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		_ = conn.Close()
		return errors.New("another program does already: give another path")
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}

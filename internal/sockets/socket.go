package sockets

import (
	"io/fs"
	"net"
	"path"
	"strings"
)

// Socket is a socket to listen on.
type Socket struct {
	// Network is tcp or unix.
	Network string `json:"network"`
	// Address is HOST:PORT, HOST an IP address or empty for all of them, those of IPv6 and of IPv4; or an absolute path.
	Address string `json:"address"`
	// UID, GID and Mode are those of the file at a path.
	UID  int         `json:"uid"`
	GID  int         `json:"gid"`
	Mode fs.FileMode `json:"mode"`
}

// String is the socket as a manifest has it.
func (s Socket) String() string { return s.Network + "://" + s.Address }

// longestName is how long an entry of LISTEN_FDNAMES may be: see sd_listen_fds(3).
const longestName = 255

// Name is what a daemon finds the socket by in LISTEN_FDNAMES: the port, or the last element of the path, in which '_' stands for what no name may have. Two sockets may have the same.
func (s Socket) Name() string {
	if s.Network == "tcp" {
		_, port, err := net.SplitHostPort(s.Address)
		if err == nil {
			return port
		}
	}
	name := strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || r == ':' {
			return '_'
		}
		return r
	}, path.Base(s.Address))
	return name[:min(len(name), longestName)]
}

// Family is what the names of the instances of one daemon have in common: NAME and NAME_1 are two instances of NAME, which share their sockets.
func Family(name string) string {
	family, _, _ := strings.Cut(name, "_")
	return family
}

// Names is LISTEN_FDNAMES of sockets.
func Names(all []Socket) string {
	names := make([]string, len(all))
	for i, s := range all {
		names[i] = s.Name()
	}
	return strings.Join(names, ":")
}

package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

// firstPassed is the descriptor of the first socket that is handed to a process: see sd_listen_fds(3).
const firstPassed = 3

// listen returns the sockets that were handed to this very process, and with none a new one on addr.
func listen(addr string) ([]net.Listener, error) {
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || n < 1 || os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return nil, fmt.Errorf("listen: %w", err)
		}
		return []net.Listener{l}, nil
	}
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	var all []net.Listener
	for i := range n {
		name := "socket"
		if i < len(names) {
			name = names[i]
		}
		f := os.NewFile(uintptr(firstPassed+i), name)
		l, err := net.FileListener(f)
		f.Close() // l has a duplicate, which no child inherits
		if err != nil {
			return nil, fmt.Errorf("listen on the socket %s, which was handed over: %w", name, err)
		}
		all = append(all, l)
	}
	return all, nil
}

// Package sdnotify tells the service manager that started this program how it is: sd_notify(3). It is silent where nobody listens.
//
// It must never tell anything that a manifest or a daemon wrote.
package sdnotify

import (
	"fmt"
	"net"
	"strings"
)

// The states that are told.
const (
	Ready    = "READY=1"
	Stopping = "STOPPING=1"
)

// Send tells states, one or more, to socket, which the manager named in NOTIFY_SOCKET. Where that is empty nothing is told.
func Send(socket string, states ...string) error {
	if socket == "" {
		return nil
	}
	if strings.HasPrefix(socket, "@") {
		socket = "\x00" + socket[1:] // unix(7): one in the abstract namespace
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err == nil {
		_, err = conn.Write([]byte(strings.Join(states, "\n")))
		conn.Close()
	}
	if err != nil {
		return fmt.Errorf("tell the service manager %s: %w", strings.Join(states, ", "), err)
	}
	return nil
}

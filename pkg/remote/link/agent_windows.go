package link

import (
	"context"
	"io"
	"net"
	"os"
	"strings"
)

// dialAgent connects to a named pipe, as that of Windows' own agent is (\\.\pipe\openssh-ssh-agent), or to a socket.
func dialAgent(ctx context.Context, socket string) (io.ReadWriteCloser, error) {
	if strings.HasPrefix(socket, `\\.\pipe\`) {
		return os.OpenFile(socket, os.O_RDWR, 0)
	}
	return (&net.Dialer{}).DialContext(ctx, "unix", socket)
}

//go:build !windows

package link

import (
	"context"
	"io"
	"net"
)

func dialAgent(ctx context.Context, socket string) (io.ReadWriteCloser, error) {
	return (&net.Dialer{}).DialContext(ctx, "unix", socket)
}

package web

import (
	"context"
	"net"
)

// bindUnix makes a socket, which who may write to its folder can use.
func bindUnix(ctx context.Context, path string) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, "unix", path)
}

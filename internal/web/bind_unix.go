//go:build unix

package web

import (
	"context"
	"net"
	"os"
	"syscall"
)

// bindUnix makes a socket with mode 0600. On Linux a socket's file gets the mode of its descriptor, so there is no moment in which others can connect; elsewhere the mode follows.
func bindUnix(ctx context.Context, path string) (net.Listener, error) {
	own := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { _ = syscall.Fchmod(int(fd), 0o600) })
	}}
	l, err := own.Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}

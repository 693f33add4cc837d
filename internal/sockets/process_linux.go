package sockets

import (
	"context"
	"errors"
	"fmt"
	"net"

	"reconciler.dev/reconciler/internal/pidfd"
)

// Process returns the process that holds sockets, for the caller to close: its end can be waited for. It is pidfd.None where there is none.
func (c *Client) Process(ctx context.Context) (fd pidfd.FD, pid int, err error) {
	for range tries {
		fd, pid, err = c.process(ctx)
		switch {
		case errors.Is(err, errNobody):
			return pidfd.None, 0, nil
		case err == nil:
			return fd, pid, nil
		case !errors.Is(err, pidfd.ErrGone):
			return pidfd.None, 0, fmt.Errorf("look for the holder of sockets: %w", err)
		}
	}
	return pidfd.None, 0, fmt.Errorf("look for the holder of sockets: it ended %d times: %w", tries, err)
}

// process asks twice who listens: a number that is the same before and after it was opened is that of a process which lived all the while.
func (c *Client) process(ctx context.Context) (fd pidfd.FD, pid int, err error) {
	if pid, err = c.listener(ctx); err != nil {
		return pidfd.None, 0, err
	}
	if fd, err = pidfd.Open(pid); err != nil {
		return pidfd.None, 0, err
	}
	again, err := c.listener(ctx)
	if err == nil && again != pid {
		err = fmt.Errorf("process %d was followed by %d: %w", pid, again, pidfd.ErrGone)
	}
	if err != nil {
		fd.Close()
		return pidfd.None, 0, err
	}
	return fd, pid, nil
}

// listener is the number of the process that answers.
func (c *Client) listener(ctx context.Context) (pid int, err error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	return peerPID(conn)
}

func peerPID(conn *net.UnixConn) (int, error) {
	who, err := peer(conn)
	if err != nil {
		return 0, err
	}
	return int(who.Pid), nil
}

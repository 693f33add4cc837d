package sockets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/failpoint"
	"reconciler.dev/reconciler/internal/flock"
	"reconciler.dev/reconciler/internal/procfs"
	"reconciler.dev/reconciler/internal/selfcopy"
	"reconciler.dev/reconciler/internal/spawn"
)

// Client speaks to the holder of one directory, and starts it where there is none. It may be used by any number of goroutines.
type Client struct {
	// Dir is the directory of what is true until the reboot, Tool where the copy of this program is that is executed: a holder stays while the program is replaced.
	Dir, Tool string
	// Spawner starts the holder.
	Spawner *spawn.Spawner
}

// ErrInUse says that somebody else has the address of a socket.
var ErrInUse = errors.New("somebody else listens there")

// Take has these sockets opened for name, unless they are open, and returns a duplicate of each, in that order, for the caller to close. What name had beside them is closed, unless
// another name of its Family wants it. Who gets an error still has what it had; it wraps ErrInUse where an address is taken.
func (c *Client) Take(ctx context.Context, name string, want []Socket) ([]*os.File, error) {
	if len(want) == 0 {
		return nil, c.Release(ctx, name)
	}
	a, fds, err := c.ask(ctx, request{Family: Family(name), Name: name, Sockets: want}, true)
	if err == nil {
		err = a.err()
	}
	if err == nil && len(fds) != len(want) {
		err = fmt.Errorf("ask for sockets: %d were asked for and %d came", len(want), len(fds))
	}
	if err != nil {
		closeAll(fds)
		return nil, err
	}
	files := make([]*os.File, len(fds))
	for i, fd := range fds {
		files[i] = os.NewFile(uintptr(fd), want[i].String())
	}
	return files, nil
}

// Release lets go of what name had. It is no error that there was nothing.
func (c *Client) Release(ctx context.Context, name string) error {
	return c.release(ctx, request{Family: Family(name), Name: name})
}

// ReleaseFamily lets go of what any name of name's Family had.
func (c *Client) ReleaseFamily(ctx context.Context, name string) error {
	return c.release(ctx, request{Family: Family(name), All: true})
}

func (c *Client) release(ctx context.Context, r request) error {
	a, fds, err := c.ask(ctx, r, false)
	closeAll(fds)
	switch {
	case errors.Is(err, errNobody):
		return nil
	case err != nil:
		return err
	}
	return a.err()
}

// There tells whether there may be a holder, by a look at its place: where there is none, nothing is held.
func (c *Client) There() (bool, error) {
	_, err := os.Lstat(filepath.Join(c.Dir, socketName))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Held lists what is held, sorted; nothing where nobody holds anything.
func (c *Client) Held(ctx context.Context) ([]Holding, error) {
	a, fds, err := c.ask(ctx, request{List: true}, false)
	closeAll(fds)
	switch {
	case errors.Is(err, errNobody):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return a.Held, a.err()
}

func (a answer) err() error {
	switch {
	case a.Error == "":
		return nil
	case a.Errno == unix.EADDRINUSE:
		return fmt.Errorf("%s: %w", a.Error, ErrInUse)
	case a.Errno != 0:
		return fmt.Errorf("%s (%w)", strings.TrimSuffix(a.Error, ": "+a.Errno.Error()), a.Errno)
	default:
		return errors.New(a.Error)
	}
}

// errNobody says that there is no holder.
var errNobody = errors.New("nobody holds sockets")

// tries is how often a holder is asked that ends just then.
const tries = 5

// ask asks the holder, the one that is started where there is none and start is set, and sends it descriptors along. To ask twice does no harm.
func (c *Client) ask(ctx context.Context, r request, start bool, with ...int) (a answer, fds []int, err error) {
	for range tries {
		a, fds, err = c.askOnce(ctx, r, with)
		switch {
		case err == nil:
			return a, fds, nil
		case errors.Is(err, errNobody) && !start:
			return a, nil, err
		case errors.Is(err, errNobody):
			if err := c.start(ctx); err != nil {
				return a, nil, err
			}
		case !errors.Is(err, io.EOF) && !errors.Is(err, unix.ECONNRESET) && !errors.Is(err, unix.EPIPE):
			return a, nil, fmt.Errorf("ask the holder of sockets: %w", err)
		}
	}
	return a, nil, fmt.Errorf("ask the holder of sockets: it ended %d times: %w", tries, err)
}

func (c *Client) askOnce(ctx context.Context, r request, with []int) (a answer, fds []int, err error) {
	conn, err := c.dial(ctx)
	if err != nil {
		return a, nil, err
	}
	defer conn.Close()
	if err := checkPeer(conn); err != nil {
		return a, nil, err
	}
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	if err := conn.SetDeadline(time.Now().Add(2 * answerLimit)); err != nil {
		return a, nil, err
	}
	if err := send(conn, r, with...); err != nil {
		return a, nil, err
	}
	fds, err = receive(conn, &a)
	return a, fds, errors.Join(err, ctx.Err())
}

func (c *Client) dial(ctx context.Context) (conn *net.UnixConn, err error) {
	err = atPath(filepath.Join(c.Dir, socketName), func(name string) error {
		var d net.Dialer
		x, err := d.DialContext(ctx, "unixpacket", name)
		if err == nil {
			conn = x.(*net.UnixConn)
		}
		return err
	})
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED) {
		return nil, errNobody
	}
	return conn, err
}

// start starts a holder, unless somebody else just did, and returns once it can be asked.
func (c *Client) start(ctx context.Context) error {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return fmt.Errorf("start the holder of sockets: %w", err)
	}
	lock, err := flock.Lock(ctx, filepath.Join(c.Dir, "sockets.start"))
	if err != nil {
		return fmt.Errorf("start the holder of sockets: %w", err)
	}
	defer lock.Release()
	if conn, err := c.dial(ctx); err == nil {
		return conn.Close()
	}
	if err := selfcopy.Keep(ctx, c.Tool); err != nil {
		return fmt.Errorf("start the holder of sockets: %w", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start the holder of sockets: %w", err)
	}
	defer r.Close()
	p, err := c.Spawner.Start(spawn.Cmd{
		Path: c.Tool, Args: []string{program, c.Dir}, Env: []string{"PATH=/usr/bin:/bin"}, Dir: "/", Umask: 0o077, Stdout: w, Stderr: w, Tag: uint64(procfs.NewTag()),
	})
	w.Close()
	if err != nil {
		return fmt.Errorf("start the holder of sockets: %w", err)
	}
	c.Spawner.Reap(p)
	defer context.AfterFunc(ctx, func() { r.Close() })()
	said, err := io.ReadAll(io.LimitReader(r, 4<<10))
	switch text := strings.TrimSpace(string(said)); {
	case strings.HasPrefix(string(said), ready):
		failpoint.Hit(failpoint.ListenHolder)
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case text != "":
		return fmt.Errorf("start the holder of sockets: %s", text)
	default:
		return fmt.Errorf("start the holder of sockets: it ended without a word (%w)", err)
	}
}

package sockets

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/flock"
)

// program is argv[0] of a holder; its one argument is the directory in which it is found.
const program = "reconciler-sockets"

// ready is what a holder prints once it can be reached.
const ready = "ready\n"

// idle is how long a holder that holds nothing stays for whoever comes next.
const idle = time.Second

// Main is a holder where this program was started as one, and returns the status to exit with; else called is false and nothing was done. Call it first in main, and in TestMain of test
// programs that start daemons with sockets. It ends with ctx. args are all of os.Args; that it can be reached, or why not, goes to out.
func Main(ctx context.Context, args []string, out *os.File) (status int, called bool) {
	if len(args) != 2 || args[0] != program {
		return 0, false
	}
	if err := hold(ctx, args[1], out); err != nil {
		fmt.Fprintln(out, err)
		return 1, true
	}
	return 0, true
}

// hold holds sockets until there are none left to hold.
func hold(ctx context.Context, dir string, out *os.File) error {
	limited, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	lock, err := flock.Lock(limited, filepath.Join(dir, "sockets.lock")) // the one before may be about to end
	if err != nil {
		return fmt.Errorf("hold sockets: %w", err)
	}
	defer lock.Release()
	unix.Umask(0o177) // a socket's file is its owner's alone until it belongs to somebody
	l, err := listen(filepath.Join(dir, socketName))
	if err != nil {
		return fmt.Errorf("hold sockets: %w", err)
	}
	h := &holder{held: book{}, l: l, path: filepath.Join(dir, socketName)}
	h.leaving = time.AfterFunc(idle, h.leaveIdle)
	defer context.AfterFunc(ctx, h.leave)()
	fmt.Fprint(out, ready)
	letGo(out)
	return h.serve()
}

// letGo leaves the outputs of whoever started us.
func letGo(out *os.File) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		out.Close()
		return
	}
	defer null.Close()
	for fd := range 3 {
		_ = unix.Dup3(int(null.Fd()), fd, 0) // both are open
	}
}

// listen makes the holder's own socket. Who holds the lock may take the place of what another one left.
func listen(path string) (l *net.UnixListener, err error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	err = atPath(path, func(name string) (err error) {
		l, err = net.ListenUnix("unixpacket", &net.UnixAddr{Name: name, Net: "unixpacket"})
		return err
	})
	if err == nil {
		l.SetUnlinkOnClose(false)
	}
	return l, err
}

// holder is the process that holds sockets.
type holder struct {
	l    *net.UnixListener
	path string

	mu      sync.Mutex
	held    book
	leaving *time.Timer
	left    bool
}

// serve answers until the holder leaves.
func (h *holder) serve() error {
	for {
		c, err := h.l.AcceptUnix()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			<-time.After(10 * time.Millisecond) // as without a free descriptor: those who have one end
			continue
		}
		go func() {
			defer c.Close()
			h.serveOne(c)
		}()
	}
}

// serveOne answers one request. Who breaks off finds out by asking again.
func (h *holder) serveOne(c *net.UnixConn) {
	if c.SetDeadline(time.Now().Add(answerLimit)) != nil || checkPeer(c) != nil {
		return
	}
	var r request
	fds, err := receive(c, &r)
	if err != nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.left {
		closeAll(fds)
		return // whoever asked starts another holder
	}
	h.leaving.Stop()
	defer func() {
		if len(h.held) == 0 {
			h.leaving.Reset(idle)
		}
	}()
	if r.Adopt {
		_ = send(c, answerOf(h.held.adopt(r.Family, r.Name, r.Sockets, fds)))
		return
	}
	closeAll(fds)
	h.answer(c, r)
}

func (h *holder) answer(c *net.UnixConn, r request) {
	switch {
	case r.List:
		_ = send(c, answer{Held: h.held.list()})
		return
	case r.All:
		h.held.dropFamily(r.Family)
		_ = send(c, answer{})
		return
	case len(r.Sockets) > most:
		_ = send(c, answer{Error: fmt.Sprintf("hold sockets: %d are asked for, and a daemon may have %d", len(r.Sockets), most)})
		return
	}
	found, err := h.held.take(r.Family, r.Name, r.Sockets)
	if err != nil {
		_ = send(c, answerOf(err))
		return
	}
	fds := make([]int, len(found))
	for i, f := range found {
		fds[i] = f.fd
	}
	_ = send(c, answer{}, fds...)
}

// answerOf is what an error is told as.
func answerOf(err error) (a answer) {
	if err != nil {
		a.Error = err.Error()
		errors.As(err, &a.Errno)
	}
	return a
}

// list is what is held, sorted.
func (b book) list() (all []Holding) {
	for key, h := range b {
		x := Holding{Socket: key}
		for name := range h.by {
			x.Names = append(x.Names, name)
		}
		slices.Sort(x.Names)
		all = append(all, x)
	}
	slices.SortFunc(all, func(a, b Holding) int { return strings.Compare(a.Socket, b.Socket) })
	return all
}

// leaveIdle ends a holder that holds nothing.
func (h *holder) leaveIdle() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.held) == 0 {
		h.leaveLocked()
	}
}

// leave ends the holder. Files of sockets stay: who has the sockets can still be reached by them.
func (h *holder) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.leaveLocked()
}

func (h *holder) leaveLocked() {
	if h.left {
		return
	}
	h.left = true
	_ = os.Remove(h.path)
	h.l.Close()
}

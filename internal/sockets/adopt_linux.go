package sockets

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/pidfd"
)

// Of returns a duplicate of each of these sockets that a process listens on, for the caller to close. It takes the rights of a debugger: see pidfd_getfd(2), Linux 5.6. A socket that the process
// hasn't is an error.
func Of(process pidfd.FD, pid int, want []Socket) (files []*os.File, err error) {
	numbers, err := descriptorsOf(pid)
	if err != nil {
		return nil, fmt.Errorf("look for the sockets of process %d: %w", pid, err)
	}
	var all []int
	defer func() { closeAll(all) }()
	for _, n := range numbers {
		fd, err := unix.PidfdGetfd(int(process), n, 0)
		switch {
		case errors.Is(err, unix.EBADF): // closed meanwhile
			continue
		case err != nil:
			return nil, fmt.Errorf("take the sockets of process %d: %w", pid, err)
		}
		if listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || listens == 0 {
			unix.Close(fd)
			continue
		}
		if all = append(all, fd); !slices.ContainsFunc(want, func(s Socket) bool { _, err := s.among(all); return err != nil }) {
			break // the rest are its connections, of which it may have many
		}
	}
	for _, s := range want {
		fd, err := s.among(all)
		if err == nil {
			fd, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		}
		if err != nil {
			for _, f := range files {
				f.Close()
			}
			return nil, fmt.Errorf("take %s of process %d: %w", s, pid, err)
		}
		files = append(files, os.NewFile(uintptr(fd), s.String()))
	}
	return files, nil
}

// descriptorsOf are those of a process, the lowest first: where it was given its sockets.
func descriptorsOf(pid int) (numbers []int, err error) {
	entries, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/fd")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// Holds tells whether a holder holds all of these sockets for name.
func (c *Client) Holds(ctx context.Context, name string, want []Socket) (bool, error) {
	held, err := c.Held(ctx)
	if err != nil {
		return false, err
	}
	for _, s := range want {
		if !slices.ContainsFunc(held, func(h Holding) bool { return h.Socket == s.String() && slices.Contains(h.Names, name) }) {
			return false, nil
		}
	}
	return true, nil
}

// Adopt has these sockets held for name, which are open elsewhere: files are duplicates of them, in that order, and stay the caller's. What is held already stays as it is.
func (c *Client) Adopt(ctx context.Context, name string, want []Socket, files []*os.File) error {
	fds := make([]int, len(files))
	for i, f := range files {
		fds[i] = int(f.Fd())
	}
	a, back, err := c.ask(ctx, request{Family: Family(name), Name: name, Sockets: want, Adopt: true}, true, fds...)
	closeAll(back)
	if err != nil {
		return err
	}
	return a.err()
}

// adopt has name want sockets, which come with the request. Those that aren't what they are said to be, and those that are held already, are closed.
func (b book) adopt(family, name string, want []Socket, fds []int) error {
	if len(fds) != len(want) {
		closeAll(fds)
		return fmt.Errorf("hold sockets: %d came, and %d were to", len(fds), len(want))
	}
	var errs []error
	for i, s := range want {
		h := b[s.String()]
		switch _, err := s.among(fds[i : i+1]); {
		case err != nil:
			errs = append(errs, fmt.Errorf("hold %s: %w", s, err))
		case h != nil && !h.wantedBy(family):
			errs = append(errs, fmt.Errorf("hold %s: it is held for daemon %s", s, h.anybody()))
		case h != nil && h.there():
			h.by[name] = true
		default:
			h := &held{Socket: s, fd: fds[i], by: map[string]bool{name: true}}
			h.file, _ = fileAt(s.Address)
			b[s.String()], fds[i] = h, -1
		}
		if fds[i] >= 0 {
			unix.Close(fds[i])
		}
	}
	return errors.Join(errs...)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// startFloor is fork and exec of n daemons, one after the other: from before the first until the last one's main(). It leaves them running.
func (b *bench) startFloor(ctx context.Context, n int) (time.Duration, []*exec.Cmd, error) {
	m := b.freshMains()
	t0 := time.Now()
	var all []*exec.Cmd
	for i := range n {
		cmd, err := b.tiny(m, i)
		if err != nil {
			return 0, all, err
		}
		all = append(all, cmd)
	}
	began, err := m.await(ctx, 0, n)
	if err != nil {
		return 0, all, err
	}
	return last(began).Sub(t0), all, nil
}

func (b *bench) tiny(m mains, id int) (*exec.Cmd, error) {
	cmd := exec.Command(b.tinyd, string(m), strconv.Itoa(id))
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start tinyd: %w", err)
	}
	return cmd, nil
}

// stopFloor is a signal to each and a wait for each.
func stopFloor(all []*exec.Cmd) (time.Duration, error) {
	t0 := time.Now()
	var errs []error
	for _, cmd := range all {
		errs = append(errs, cmd.Process.Signal(syscall.SIGTERM))
	}
	for _, cmd := range all {
		var ended *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &ended) {
			errs = append(errs, fmt.Errorf("wait for tinyd: %v", err))
		}
	}
	return time.Since(t0), errors.Join(errs...)
}

// healFloor is, with n running, kill -9 of one: the wake-up from its pidfd, an exec, and main().
func (b *bench) healFloor(ctx context.Context, n, kills int) (took figures, err error) {
	m := b.freshMains()
	w, err := newWatch()
	if err != nil {
		return nil, err
	}
	defer w.close()
	all := map[int]*exec.Cmd{} // by pidfd
	defer func() {
		for fd, cmd := range all {
			err = errors.Join(err, cmd.Process.Kill())
			_ = cmd.Wait() // it was killed
			w.remove(fd)
		}
	}()
	start := func(id int) (*exec.Cmd, error) {
		cmd, err := b.tiny(m, id)
		if err != nil {
			return nil, err
		}
		fd, err := w.add(cmd.Process.Pid)
		if err != nil {
			return nil, err
		}
		all[fd] = cmd
		return cmd, nil
	}
	victims := make([]*exec.Cmd, n)
	for i := range n {
		if victims[i], err = start(i); err != nil {
			return nil, err
		}
	}
	if _, err := m.await(ctx, 0, n); err != nil {
		return nil, err
	}
	if err := pause(ctx, settle); err != nil {
		return nil, err
	}
	for k := range kills {
		t0 := time.Now()
		if err := victims[k].Process.Kill(); err != nil {
			return nil, err
		}
		fd, err := w.next()
		if err != nil {
			return nil, err
		}
		dead := all[fd]
		delete(all, fd)
		if _, err := start(k); err != nil {
			return nil, err
		}
		began, err := m.await(ctx, n+k, 1)
		if err != nil {
			return nil, err
		}
		took.took(last(began).Sub(t0))
		w.remove(fd)
		_ = dead.Wait() // it was killed
		if err := pause(ctx, between); err != nil {
			return nil, err
		}
	}
	return took, nil
}

// watch is an epoll of pidfds, as bare as it goes.
type watch struct{ ep int }

func newWatch() (*watch, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	return &watch{ep}, nil
}

// add watches for the end of a process and returns its pidfd.
func (w *watch) add(pid int) (int, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return -1, fmt.Errorf("pidfd_open %d: %w", pid, err)
	}
	if err := unix.EpollCtl(w.ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}); err != nil {
		return -1, errors.Join(fmt.Errorf("epoll_ctl: %w", err), unix.Close(fd))
	}
	return fd, nil
}

// next returns a pidfd of a process that ended. It stays readable until it is removed.
func (w *watch) next() (int, error) {
	var events [1]unix.EpollEvent
	for {
		n, err := unix.EpollWait(w.ep, events[:], 60_000)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return -1, fmt.Errorf("epoll_wait: %w", err)
		case n == 0:
			return -1, errors.New("no process ended within a minute")
		default:
			return int(events[0].Fd), nil
		}
	}
}

func (w *watch) remove(fd int) { _ = unix.Close(fd) } // closing takes it out of the epoll

func (w *watch) close() { _ = unix.Close(w.ep) }

// freshMains is a new file for tinyds to write to.
func (b *bench) freshMains() mains {
	b.files++
	return mains(filepath.Join(b.dir, fmt.Sprintf("mains-%d", b.files)))
}

// buildTinyd compiles tinyd, static.
func buildTinyd(ctx context.Context, dir string) (string, error) {
	source, out := filepath.Join(dir, "tinyd.c"), filepath.Join(dir, "tinyd")
	if err := os.WriteFile(source, []byte(tinydSource), 0o600); err != nil {
		return "", err
	}
	said, err := exec.CommandContext(ctx, "gcc", "-O2", "-static", "-Wall", "-Werror", "-o", out, source).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build tinyd: %w\n%s", err, said)
	}
	return out, nil
}

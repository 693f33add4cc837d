package outage

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// killHolder kills the process that holds the daemon's socket, and waits until another one does.
func (d *daemon) killHolder(ctx context.Context, pid int) error {
	was, err := d.holder(pid)
	if err != nil {
		return err
	}
	if was == 0 {
		return fmt.Errorf("nobody holds the socket of process %d", pid)
	}
	if err := syscall.Kill(was, syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill process %d, which holds the socket: %w", was, err)
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		now, err := d.holder(pid)
		if err != nil || now != 0 && now != was {
			return err
		}
		select {
		case <-limited.Done():
			return fmt.Errorf("nobody holds the socket %s after process %d, which did, was killed", patience, was)
		case <-time.After(time.Millisecond):
		}
	}
}

// holder is the process that holds a socket which process pid has, 0 where none does.
func (d *daemon) holder(pid int) (int, error) {
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return 0, err
	}
	own := openSockets(strconv.Itoa(pid))
	for _, path := range lines {
		line, err := os.ReadFile(path)
		if err != nil || !bytes.HasPrefix(line, []byte("reconciler-sockets\x00"+d.Dir)) {
			continue // it has ended meanwhile, or is another
		}
		who := filepath.Base(filepath.Dir(path))
		if slices.ContainsFunc(openSockets(who), func(s string) bool { return slices.Contains(own, s) }) {
			return strconv.Atoi(who)
		}
	}
	return 0, nil
}

// openSockets are those that a process has open, as /proc names them.
func openSockets(pid string) (all []string) {
	files, _ := filepath.Glob(filepath.Join("/proc", pid, "fd/*")) // a good pattern
	for _, f := range files {
		if to, err := os.Readlink(f); err == nil && strings.HasPrefix(to, "socket:") {
			all = append(all, to)
		}
	}
	return all
}

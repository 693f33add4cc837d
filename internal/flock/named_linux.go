package flock

import (
	"fmt"
	"hash/fnv"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// TryLockNamed takes the lock of that name among those that share the file at path, or returns an error that wraps ErrHeld. It is as good as one of TryLock on
// a file of its own, and makes no file for each name: see "open file description locks" in fcntl(2). Two names may share a lock by chance; there are 2^62 of
// them.
func TryLockNamed(path, name string) (*Held, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", &os.PathError{Op: "open", Path: path, Err: err})
	}
	if err := lockByte(fd, unix.F_WRLCK, name); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("lock %s in %s: %w", name, path, err)
	}
	return &Held{free: func() {
		lockByte(fd, unix.F_UNLCK, name) // it can't fail on an open file
		unix.Close(fd)
	}}, nil
}

// lockByte locks or frees the byte that stands for name, far behind the end of the file.
func lockByte(fd int, how int16, name string) error {
	h := fnv.New64a()
	io.WriteString(h, name)
	l := unix.Flock_t{Type: how, Whence: io.SeekStart, Start: int64(h.Sum64() >> 2), Len: 1}
	for {
		switch err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &l); err {
		case unix.EINTR:
		case unix.EAGAIN, unix.EACCES:
			return ErrHeld
		default:
			return err
		}
	}
}

//go:build !windows

package flock

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func tryLock(f *os.File) error { return flock(f, unix.LOCK_EX|unix.LOCK_NB) }

func unlock(f *os.File) { flock(f, unix.LOCK_UN) } // it can't fail on an open file

func tryShare(f *os.File) error { return flock(f, unix.LOCK_SH|unix.LOCK_NB) }

// isHeld takes a shared lock, so that those who look don't get into each other's way.
func isHeld(f *os.File) (bool, error) {
	err := tryShare(f)
	if errors.Is(err, ErrHeld) {
		return true, nil
	}
	return false, err
}

func flock(f *os.File, how int) error {
	for {
		switch err := unix.Flock(int(f.Fd()), how); err {
		case unix.EINTR:
		case unix.EWOULDBLOCK:
			return ErrHeld
		default:
			return err
		}
	}
}

// TryLockDir takes the lock of a folder, or returns an error that wraps ErrHeld. See LockDir.
func TryLockDir(dir string) (*Held, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if err := tryLock(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return &Held{free: func() {
		unlock(f)
		f.Close()
	}}, nil
}

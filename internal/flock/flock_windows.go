package flock

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// The locked byte lies far behind the holder's description, which others may then read: LockFileEx locks are mandatory.
const lockAt = 1 << 30

func tryLock(f *os.File) error { return lock(f, windows.LOCKFILE_EXCLUSIVE_LOCK) }

func unlock(f *os.File) {
	windows.UnlockFileEx(windows.Handle(f.Fd()), 0, 1, 0, &windows.Overlapped{Offset: lockAt}) // closing the file would do it too, but later
}

func tryShare(f *os.File) error { return lock(f, 0) }

func isHeld(f *os.File) (bool, error) {
	switch err := tryShare(f); err {
	case nil:
		return false, nil
	case ErrHeld:
		return true, nil
	default:
		return false, err
	}
}

func lock(f *os.File, how uint32) error {
	err := windows.LockFileEx(windows.Handle(f.Fd()), how|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &windows.Overlapped{Offset: lockAt})
	if err == windows.ERROR_LOCK_VIOLATION || err == windows.ERROR_IO_PENDING {
		return ErrHeld
	}
	return err
}

// TryLockDir takes the lock of a folder, which is a file in it here, or returns an error that wraps ErrHeld. See LockDir.
func TryLockDir(dir string) (*Held, error) { return TryLock(filepath.Join(dir, ".reconciler.lock")) }

//go:build !linux

package flock

// TryLockNamed takes the lock of that name among those that begin with path, or returns an error that wraps ErrHeld.
func TryLockNamed(path, name string) (*Held, error) { return TryLock(path + "." + name) }

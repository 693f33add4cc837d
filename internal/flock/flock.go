// Package flock takes locks that the kernel frees when their holder dies, however it dies, so that a lock is never stale: see flock(2).
//
// A lock file is never removed: removing it would let two processes hold a lock of the same name.
package flock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// ErrHeld is what TryLock returns while somebody else holds the lock.
var ErrHeld = errors.New("the lock is held")

// Held is a lock that is held. It excludes other processes and other callers in this one. The race detector doesn't see the order it gives:
// goroutines that share memory under it need a mutex as well.
type Held struct {
	f    *os.File // nil for a named lock on Linux, and for a folder on Unix
	free func()
	once sync.Once
}

// longestPoll is how late a waiting Lock may notice, at most, that the lock came free. The kernel's own waiting can't be cancelled.
const longestPoll = 20 * time.Millisecond

// Lock waits for the lock at path, whose directory must exist, until ctx ends. Waiters are not served in any order.
func Lock(ctx context.Context, path string) (*Held, error) {
	return wait(ctx, path, func() (*Held, error) { return TryLock(path) })
}

// LockNamed waits for a lock of TryLockNamed as Lock does for one of TryLock.
func LockNamed(ctx context.Context, path, name string) (*Held, error) {
	return wait(ctx, name, func() (*Held, error) { return TryLockNamed(path, name) })
}

func wait(ctx context.Context, what string, try func() (*Held, error)) (*Held, error) {
	pause := time.Millisecond
	for {
		h, err := try()
		if !errors.Is(err, ErrHeld) {
			return h, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for lock %s: %w", what, ctx.Err())
		case <-time.After(pause):
		}
		pause = min(2*pause, longestPoll)
	}
}

// TryLock takes the lock at path, or returns an error that wraps ErrHeld.
func TryLock(path string) (*Held, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if err := tryLock(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return &Held{f: f, free: func() {
		unlock(f)
		f.Close()
	}}, nil
}

// SetInfo leaves info in the lock file for those who find it held. It stays there after Release, so ask Info for both. A named lock, or a folder's, has no place for it.
func (h *Held) SetInfo(info []byte) error {
	if h.f == nil {
		return errors.New("describe the lock's holder: it has no file of its own")
	}
	if err := h.f.Truncate(0); err != nil {
		return fmt.Errorf("describe the lock's holder: %w", err)
	}
	if _, err := h.f.WriteAt(info, 0); err != nil {
		return fmt.Errorf("describe the lock's holder: %w", err)
	}
	return nil
}

// Release frees the lock. Releasing it again does nothing.
//
// It unlocks before it closes: a child that was forked meanwhile and hasn't executed its program yet has a copy of the descriptor, which would
// keep the lock held. Where this process dies instead, that copy keeps the name locked until the child is what it is to become.
func (h *Held) Release() {
	h.once.Do(h.free)
}

// Info returns what the holder of the lock at path left there, and whether it is held now. A lock that nobody ever took is not held.
// It takes the lock, shared with others who look, for an instant to find out: a TryLock at that very instant finds it held.
func Info(path string) (info []byte, held bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		if os.IsNotExist(err) {
			return nil, false, nil
		}
		return nil, false, fmt.Errorf("look at lock: %w", err)
	}
	defer f.Close()
	held, err = isHeld(f)
	if err != nil {
		return nil, false, fmt.Errorf("look at lock %s: %w", path, err)
	}
	info = make([]byte, 4096)
	n, _ := f.ReadAt(info, 0) // the holder may be rewriting it: what is there is all there is to tell
	return info[:n], held, nil
}

// TryShare takes the lock of an open file together with others who share it, or returns ErrHeld while somebody has it alone. It and TryOwn are for a file that is replaced by
// another one: whoever has the lock finds out whether the file is still the one at its path. Forget frees both kinds.
func TryShare(f *os.File) error { return tryShare(f) }

// TryOwn takes the lock of an open file alone, or returns ErrHeld while anybody else has it.
func TryOwn(f *os.File) error { return tryLock(f) }

// Forget frees what TryShare or TryOwn took. Do so before the file is closed: see Release.
func Forget(f *os.File) { unlock(f) }

// Within calls try until it returns another error than one that wraps ErrHeld, or none, and for d at most.
func Within(d time.Duration, try func() error) error {
	over := time.After(d)
	for {
		err := try()
		if !errors.Is(err, ErrHeld) {
			return err
		}
		select {
		case <-over:
			return err
		case <-time.After(time.Millisecond):
		}
	}
}

// LockDir waits for the lock of a folder that somebody works in, as Lock does for one at a path. On Unix it is the folder itself that is locked, so nothing is made in it, and all users of
// the machine who may read it share the lock.
func LockDir(ctx context.Context, dir string) (*Held, error) {
	return wait(ctx, dir, func() (*Held, error) { return TryLockDir(dir) })
}

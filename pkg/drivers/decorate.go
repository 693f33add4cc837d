package drivers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"reconciler.dev/reconciler/internal/flock"
	"reconciler.dev/reconciler/internal/layout"
	"reconciler.dev/reconciler/pkg/spec"
)

// Decorate gives d what all drivers share: it puts programs at their place and watches over them (Install, Uninstall), writes and watches over config files (Files), remembers
// pauses (Pause, Resume) and held rollouts (Hold, Release), and runs two copies of a daemon where a step asks for that (Beside, Retire, Abandon). d is left with the other verbs. Use Find to ask the result for
// optional interfaces.
func Decorate(d Driver, dirs layout.Dirs) Driver {
	d = WithSlots(d, dirs)
	return &decorated{d, dirs, newPauses(d, dirs), newHolds(d, dirs), newPrograms(d, dirs), newFiles(d, dirs)}
}

// Find returns the first of d and the drivers it decorates that is a T, as errors.As does for errors.
func Find[T any](d Driver) (found T, ok bool) {
	for d != nil {
		if t, ok := d.(T); ok {
			return t, true
		}
		u, wraps := d.(interface{ Unwrap() Driver })
		if !wraps {
			break
		}
		d = u.Unwrap()
	}
	return found, false
}

// LockName takes the lock under which a daemon of that name is changed, against every other process that keeps the same dirs. It waits until ctx ends.
func LockName(ctx context.Context, dirs layout.Dirs, name string) (*flock.Held, error) {
	return lockName(dirs, name, func(path string) (*flock.Held, error) { return flock.LockNamed(ctx, path, name) })
}

// TryLockName is LockName for those who won't wait: where the lock is held, it returns an error that wraps flock.ErrHeld.
func TryLockName(dirs layout.Dirs, name string) (*flock.Held, error) {
	return lockName(dirs, name, func(path string) (*flock.Held, error) { return flock.TryLockNamed(path, name) })
}

func lockName(dirs layout.Dirs, name string, lock func(path string) (*flock.Held, error)) (*flock.Held, error) {
	path := filepath.Join(dirs.Run, "daemons.lock")
	h, err := lock(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(dirs.Run, 0o700); err != nil {
			return nil, fmt.Errorf("lock daemon %s: %w", name, err)
		}
		h, err = lock(path)
	}
	if err != nil {
		return nil, fmt.Errorf("lock daemon %s: %w", name, err)
	}
	return h, nil
}

// CheckInstance returns an error that wraps ErrMoved where o isn't what step was planned against.
func CheckInstance(step spec.Step, o spec.Observed) error {
	have := ""
	if o.Instance != nil {
		have = o.Instance.ID
	}
	if have != step.Instance {
		return fmt.Errorf("it was planned against %s and there is %s: %w", instance(step.Instance), instance(have), ErrMoved)
	}
	return nil
}

func instance(id string) string {
	if id == "" {
		return "no instance"
	}
	return "instance " + id
}

// underLock runs f under the lock of a step's daemon. Errors say which verb it was, and of what of the daemon.
func underLock(ctx context.Context, dirs layout.Dirs, step spec.Step, what string, f func() error) error {
	lock, err := LockName(ctx, dirs, step.Name)
	if err != nil {
		return err
	}
	defer lock.Release()
	if err := f(); err != nil {
		return fmt.Errorf("%s %s %s: %w", strings.ToLower(string(step.Verb)), what, step.Name, err)
	}
	return nil
}

// observeOne looks at one name through d.
func observeOne(ctx context.Context, d Driver, name string) (spec.Observed, error) {
	found, err := d.Observe(ctx, name)
	if err != nil {
		return spec.Observed{}, err
	}
	return found[0], nil
}

// known tells of which names d has anything.
func known(ctx context.Context, d Driver, names ...string) ([]bool, error) {
	if k, ok := Find[Knower](d); ok {
		return k.Knows(ctx, names...)
	}
	found, err := d.Observe(ctx, names...)
	if err != nil {
		return nil, err
	}
	are := make([]bool, len(names))
	for i, o := range found {
		are[i] = o.State != spec.Absent
	}
	return are, nil
}

// knows is known for one name.
func knows(ctx context.Context, d Driver, name string) (bool, error) {
	are, err := known(ctx, d, name)
	return err == nil && are[0], err
}

// removable tells whether o may be removed by step: where not, the driver says so best, and nothing beside it may go before that.
func removable(step spec.Step, o spec.Observed) bool {
	return o.State == spec.Absent || o.State == spec.Exited && CheckInstance(step, o) == nil
}

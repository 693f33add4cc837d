package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"reconciler.dev/reconciler/internal/flock"
	"reconciler.dev/reconciler/pkg/drivers"
)

func (h *Host) setsDir() string { return filepath.Join(h.dirs.Run, "sets") }

// setPath is the lock file of a set; a set may have any name.
func (h *Host) setPath(set string) string {
	return filepath.Join(h.setsDir(), url.PathEscape(set)+".lock")
}

// lookTries is how often a lock is tried that may only be held for an instant: by somebody who looks at it, or by what a run that was killed had just forked,
// which has its descriptors until it executes its program.
const lookTries = 400

// Lock takes a set's lock until release, Close, or the end of this process.
func (h *Host) Lock(ctx context.Context, set string, holder drivers.Holder) (release func(), err error) {
	if err := os.MkdirAll(h.setsDir(), 0o700); err != nil {
		return nil, fmt.Errorf("lock set %s: %w", set, err)
	}
	var held *flock.Held
	for try := 0; ; try++ {
		held, err = flock.TryLock(h.setPath(set))
		if !errors.Is(err, flock.ErrHeld) {
			break
		}
		by, live := h.holder(set)
		if live && by.ID != "" && isAlive(by.PID) || try == lookTries {
			return nil, fmt.Errorf("set %s is kept by %q (pid %d, since %s): %w", set, by.Command, by.PID, by.Since.Format(time.DateTime), drivers.ErrConflict)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
	if err != nil {
		return nil, fmt.Errorf("lock set %s: %w", set, err)
	}
	holder.Set = set
	info, err := json.Marshal(holder)
	if err == nil {
		err = held.SetInfo(info)
	}
	if err != nil {
		held.Release()
		return nil, fmt.Errorf("lock set %s: %w", set, err)
	}
	return h.keep(held), nil
}

// isAlive tells whether there is such a process. That of another user is there too.
func isAlive(pid int) bool {
	p, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	defer func() { _ = p.Release() }()
	return !errors.Is(p.Signal(syscall.Signal(0)), os.ErrProcessDone)
}

// keep remembers a lock for Close, and returns what releases it.
func (h *Host) keep(held *flock.Held) func() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.taken++
	n, free := h.taken, sync.OnceFunc(func() {
		_ = held.SetInfo(nil)
		held.Release()
	})
	h.releases[n] = free
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.releases, n)
		free()
	}
}

// holder is who holds a set's lock, and whether it is held now.
func (h *Host) holder(set string) (by drivers.Holder, live bool) {
	info, live, err := flock.Info(h.setPath(set))
	if err != nil || !live {
		return drivers.Holder{}, false
	}
	if json.Unmarshal(info, &by) != nil {
		return drivers.Holder{Set: set}, true
	}
	return by, true
}

// Holders lists the live holders of sets.
func (h *Host) Holders(context.Context) ([]drivers.Holder, error) {
	found, err := os.ReadDir(h.setsDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the holders of sets: %w", err)
	}
	var all []drivers.Holder
	for _, f := range found {
		stem, ok := strings.CutSuffix(f.Name(), ".lock")
		set, err := url.PathUnescape(stem)
		if !ok || err != nil {
			continue
		}
		if by, live := h.holder(set); live {
			all = append(all, by)
		}
	}
	return all, nil
}

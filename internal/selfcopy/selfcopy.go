// Package selfcopy keeps a copy of this program where what outlives it can call it: units, and processes that would else keep the file busy that an upgrade writes.
//
// It must never change a copy in place: somebody may be executing it.
package selfcopy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"reconciler.dev/reconciler/internal/atomicfile"
	"reconciler.dev/reconciler/internal/plainfile"
)

// self is the program that runs, whatever has become of its file since.
const self = "/proc/self/exe"

// Keep makes path a copy of this very program, unless it is, and returns once it can be executed. It is known by size and time of the last change, which a copy keeps. Concurrent calls are
// safe, and the last one wins.
func Keep(ctx context.Context, path string) error {
	if err := keep(path); err != nil {
		return err
	}
	if err := plainfile.Unwritten(ctx, path); err != nil {
		return fmt.Errorf("look at the copy of this program: %w", err)
	}
	return nil
}

func keep(path string) error {
	ours, err := os.Stat(self)
	if err != nil {
		return fmt.Errorf("look at the own program: %w", err)
	}
	switch have, err := os.Stat(path); {
	case err == nil && have.Size() == ours.Size() && have.ModTime().Equal(ours.ModTime()):
		return nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("look at the copy of this program: %w", err)
	}
	content, err := os.ReadFile(self)
	if err == nil {
		err = atomicfile.MkdirAll(filepath.Dir(path), 0o755, atomicfile.Durable)
	}
	if err == nil {
		err = atomicfile.Write(path, content, 0o755, atomicfile.Durable)
	}
	if err == nil {
		err = os.Chtimes(path, time.Time{}, ours.ModTime())
	}
	if err != nil {
		return fmt.Errorf("copy this program to where it is called: %w", err)
	}
	return nil
}

package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"reconciler.dev/reconciler/internal/failpoint"
)

// Symlink makes path a symbolic link to target; what was there, a file or another link, is replaced at once. Concurrent calls for one path are the caller's to prevent.
func Symlink(target, path string, d Durability) error {
	dir, base := filepath.Split(path)
	err := os.Symlink(target, path)
	if errors.Is(err, fs.ErrExist) {
		temp := filepath.Join(dir, "."+base+tempMark+"link")
		if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("link %s: %w", path, err)
		}
		if err = os.Symlink(target, temp); err == nil {
			err = os.Rename(temp, path)
		}
	}
	failpoint.Hit(failpoint.FileRenamed)
	if err == nil && d == Durable {
		err = syncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("link %s: %w", path, err)
	}
	return nil
}

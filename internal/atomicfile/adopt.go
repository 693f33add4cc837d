package atomicfile

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"reconciler.dev/reconciler/internal/failpoint"
)

// Adopt moves the file temp, which somebody else wrote on the same file system, to path, with exactly the permissions of mode; what was there is replaced at once. A
// Durable one survives the loss of power with its content. On an error path is as it was, and temp is where it was.
func Adopt(temp, path string, mode fs.FileMode, d Durability) error {
	if err := settle(temp, mode, d); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	failpoint.Hit(failpoint.FileRename)
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	failpoint.Hit(failpoint.FileRenamed)
	if d == Durable {
		return syncDir(filepath.Dir(path))
	}
	return nil
}

// settle gives a file that is complete its mode, and flushes a Durable one.
func settle(path string, mode fs.FileMode, d Durability) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Chmod(mode); err != nil {
		return err
	}
	failpoint.Hit(failpoint.FileTemp)
	if d == Durable {
		return f.Sync()
	}
	return nil
}

//go:build !windows

package atomicfile

import (
	"os"

	"reconciler.dev/reconciler/internal/plainfile"
)

// syncDir makes a rename in dir survive the loss of power: see fsync(2).
func syncDir(dir string) error {
	if dir == "" {
		dir = "."
	}
	d, err := plainfile.Open(dir, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

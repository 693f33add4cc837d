//go:build !windows

package atomicfile

import "os"

// syncDir makes a rename in dir survive the loss of power: see fsync(2).
func syncDir(dir string) error {
	if dir == "" {
		dir = "."
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

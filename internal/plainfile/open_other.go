//go:build !linux

package plainfile

import (
	"io/fs"
	"os"
)

// Open is os.OpenFile.
func Open(path string, flags int, mode fs.FileMode) (*os.File, error) {
	return os.OpenFile(path, flags, mode)
}

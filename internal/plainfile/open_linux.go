package plainfile

import (
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Open is os.OpenFile, for open(2) with O_CLOEXEC.
func Open(path string, flags int, mode fs.FileMode) (*os.File, error) {
	for {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC, uint32(mode.Perm()))
		switch err {
		case nil:
			return os.NewFile(uintptr(fd), path), nil
		case unix.EINTR:
		default:
			return nil, &fs.PathError{Op: "open", Path: path, Err: err}
		}
	}
}

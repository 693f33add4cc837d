package usage

import (
	"errors"

	"golang.org/x/sys/unix"
)

// scratch is the buffer that small files are read into.
type scratch []byte

// maxFile is the longest file that is read: no file of figures comes near it, and a list of processes ends there.
const maxFile = 4 << 20

// read reads a file of a pseudo file system, which tells no size, at the least cost. The kernel makes such a file in one piece, so one read has it all. The text is valid
// until the next read.
func (b *scratch) read(path string) ([]byte, error) { return b.open(path, false) }

// list reads a file that the kernel makes line by line, a page at a time. What leaves room in a page for another line was the last.
func (b *scratch) list(path string) ([]byte, error) { return b.open(path, true) }

// The least size of a page, and the longest line of a list.
const page, maxListed = 4 << 10, 256

func (b *scratch) open(path string, lines bool) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if len(*b) == 0 {
		*b = make([]byte, 16<<10)
	}
	for at := 0; ; {
		n, err := unix.Read(fd, (*b)[at:])
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return nil, err
		}
		if at += n; n == 0 || at < len(*b) && (!lines || n < page-maxListed) {
			return (*b)[:at], nil
		}
		if at == len(*b) {
			if at >= maxFile {
				return nil, unix.EFBIG
			}
			*b = append(*b, make([]byte, at)...)
		}
	}
}

// isGone tells whether an error says that a cgroup or process isn't there, or that a cgroup hasn't such a file.
func isGone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ESRCH)
}

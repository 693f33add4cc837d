package usage

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// files reads small files of pseudo file systems at the least cost. Where passes follow each other closely the files stay open from one to the next, which saves two of three system
// calls. The zero files are ready for use, by one goroutine at a time.
type files struct {
	buf  []byte
	held map[string]*held
	pass int
	// began is when the pass did. hold says that it followed closely on another.
	began time.Time
	hold  bool
}

// held is a file that is open.
type held struct {
	fd   int
	pass int // that it was read in last
}

const (
	// maxFile is the longest file that is read: no file of figures comes near it, and a list of processes ends there.
	maxFile = 4 << 20
	// closely is how long after another a pass may begin that is worth holding files open for.
	closely = 3 * time.Second
	// maxHeld is how many files are held: what the kernel keeps for one is some kilobytes.
	maxHeld = 16 << 10
)

// begin begins a pass. What wasn't read in the last one is closed.
func (f *files) begin() {
	for path, h := range f.held {
		if h.pass < f.pass {
			f.drop(path)
		}
	}
	now := time.Now()
	f.hold = now.Sub(f.began) < closely
	f.began = now
	f.pass++
}

// rest closes all files.
func (f *files) rest() {
	for path := range f.held {
		f.drop(path)
	}
}

func (f *files) drop(path string) {
	_ = unix.Close(f.held[path].fd) // it was read only
	delete(f.held, path)
}

// read reads a file that the kernel makes in one piece, so that one system call has it all. The text is valid until the next read.
func (f *files) read(path string) ([]byte, error) { return f.get(path, false, f.hold) }

// readSeldom is read for a file that isn't worth to be held open.
func (f *files) readSeldom(path string) ([]byte, error) { return f.get(path, false, false) }

// list reads a file that the kernel makes line by line, a page at a time. What leaves room in a page for another line was the last.
func (f *files) list(path string) ([]byte, error) { return f.get(path, true, f.hold) }

func (f *files) get(path string, lines, hold bool) ([]byte, error) {
	if h := f.held[path]; h != nil {
		text, err := f.from(h.fd, lines)
		if err == nil {
			h.pass = f.pass
			return text, nil
		}
		if f.drop(path); !isGone(err) {
			return nil, err
		}
		// What had the name is gone. Another may have it.
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.EMFILE) && len(f.held) > 0 {
		f.rest()
		f.hold, hold = false, false
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return nil, err
	}
	text, err := f.from(fd, lines)
	if err != nil || !hold || len(f.held) >= maxHeld {
		_ = unix.Close(fd)
		return text, err
	}
	if f.held == nil {
		f.held = map[string]*held{}
	}
	f.held[path] = &held{fd, f.pass}
	return text, nil
}

// The least size of a page, and the longest line of a list.
const page, maxListed = 4 << 10, 256

// from reads an open file from its beginning, which has the kernel make it anew.
func (f *files) from(fd int, lines bool) ([]byte, error) {
	if f.buf == nil {
		f.buf = make([]byte, 16<<10)
	}
	for at := 0; ; {
		n, err := unix.Pread(fd, f.buf[at:], int64(at))
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return nil, err
		}
		if at += n; n == 0 || at < len(f.buf) && (!lines || n < page-maxListed) {
			return f.buf[:at], nil
		}
		if at == len(f.buf) {
			if at >= maxFile {
				return nil, unix.EFBIG
			}
			f.buf = append(f.buf, make([]byte, at)...)
		}
	}
}

// isGone tells whether an error says that a cgroup or process isn't there, or that a cgroup hasn't such a file.
func isGone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ESRCH)
}

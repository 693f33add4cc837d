package logfile

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
)

// facts are what the kernel says of a log file.
type facts struct {
	inode    uint64
	size     int64
	base     int64 // where its data begins, after a hole at the front
	block    int64
	mode     fs.FileMode
	uid, gid int
}

// segment is one file with a stretch of the stream.
type segment struct {
	path  string // empty: the open log file itself
	from  int64  // the position in the stream where it begins
	to    int64
	begin int64 // the offset in the file that is position from
}

// segments says where in which file the stream is, oldest first. The log is f, at path; the caller holds its lock, so that no rotation is half-way
// but one that a crash cut off.
func segments(path string, f *os.File) ([]segment, error) {
	now, err := look(f)
	if err != nil {
		return nil, err
	}
	s, err := readState(path, now.inode)
	if err != nil {
		return nil, err
	}
	rotated := numbered(path)
	if p := s.Pending; p != nil {
		done, err := isCut(f, path, *p, now)
		if err != nil {
			return nil, err
		}
		if done {
			s.Cut += p.N
			if _, err := os.Lstat(pendingPath(path)); err == nil {
				rotated = append([]string{pendingPath(path)}, rotated...)
			}
		}
	}
	all := []segment{{from: s.Cut, to: s.Cut + now.size - now.base, begin: now.base}}
	for _, name := range rotated {
		info, err := os.Lstat(name)
		if err != nil {
			return nil, err
		}
		all = append([]segment{{path: name, from: all[0].from - info.Size(), to: all[0].from}}, all...)
	}
	return all, nil
}

// isCut tells whether the log lost its front in a rotation that was cut off. A file that else only ever grew was cut where it is smaller than before, or begins with
// something else than its copy does.
func isCut(f io.ReaderAt, path string, p pending, now facts) (bool, error) {
	if now.base > p.Base || now.size < p.Size {
		return true, nil
	}
	if !p.Copied {
		return false, nil
	}
	c, err := os.Open(pendingPath(path))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil // the copy gets its final name after the cut
	}
	if err != nil {
		return false, err
	}
	defer c.Close()
	same, err := equal(io.NewSectionReader(f, now.base, p.N), c)
	return !same, err
}

func equal(a, b io.Reader) (bool, error) {
	var x, y [32 << 10]byte
	for {
		n, errX := io.ReadFull(a, x[:])
		m, errY := io.ReadFull(b, y[:])
		if !bytes.Equal(x[:n], y[:m]) {
			return false, nil
		}
		for _, err := range []error{errX, errY} {
			switch {
			case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
				return true, nil
			case err != nil:
				return false, err
			}
		}
	}
}

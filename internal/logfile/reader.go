package logfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// Reader reads the stream of a log across rotations. It is for one goroutine.
type Reader struct {
	path string
	f    *os.File // the log; nil while there is none
	at   int64
}

// Open returns a reader at the beginning of what there is. A log that isn't there yet is empty.
func Open(path string) (*Reader, error) {
	r := &Reader{path: path}
	if err := r.open(); err != nil {
		return nil, err
	}
	begin, _, err := r.Span()
	r.at = begin
	return r, err
}

func (r *Reader) open() error {
	f, err := os.OpenFile(r.path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe in its place must not make us wait
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return errors.Join(fmt.Errorf("open log %s: it is no regular file", r.path), err)
	}
	r.f = f
	return nil
}

// Close closes the reader.
func (r *Reader) Close() error {
	if r.f == nil {
		return nil
	}
	return r.f.Close()
}

// Span returns the positions where what is left of the stream begins and where it ends now.
func (r *Reader) Span() (begin, end int64, err error) {
	err = r.locked(func(all []segment) error {
		if len(all) > 0 {
			begin, end = all[0].from, all[len(all)-1].to
		}
		return nil
	})
	return begin, end, err
}

// GoTo goes to a position. What was cut off and not kept is passed over, as is what was never written.
func (r *Reader) GoTo(position int64) { r.at = position }

// Read reads from where the reader is, and returns io.EOF at the end of what was written so far: more may come.
func (r *Reader) Read(p []byte) (n int, err error) {
	err = r.locked(func(all []segment) error {
		if len(all) == 0 {
			return io.EOF
		}
		if end := all[len(all)-1].to; r.at > end {
			r.at = all[len(all)-1].from // somebody truncated the file: it begins anew
		}
		r.at = max(r.at, all[0].from)
		for _, s := range all {
			if r.at < s.to {
				n, err = r.readAt(s, p)
				r.at += int64(n)
				return err
			}
		}
		return io.EOF
	})
	return n, err
}

func (r *Reader) readAt(s segment, p []byte) (int, error) {
	f := r.f
	if s.path != "" {
		var err error
		if f, err = os.Open(s.path); err != nil {
			return 0, fmt.Errorf("read log: %w", err)
		}
		defer f.Close()
	}
	n, err := f.ReadAt(p[:min(int64(len(p)), s.to-r.at)], s.begin+r.at-s.from)
	if n > 0 {
		return n, nil
	}
	return 0, fmt.Errorf("read log %s: %w", f.Name(), noEOF(err))
}

// locked calls do with where the stream is while no rotation can move it; with nothing where there is no log.
func (r *Reader) locked(do func([]segment) error) error {
	if r.f == nil {
		if err := r.open(); err != nil {
			return err
		}
	}
	if r.f == nil {
		return do(nil)
	}
	if err := lockFile(r.f, false); err != nil {
		return err
	}
	defer unlockFile(r.f)
	all, err := segments(r.path, r.f)
	if err != nil {
		return err
	}
	return do(all)
}

// renew goes over to the file that is at the path now where that is another one, and says so. What was left in the old one must have been read.
func (r *Reader) renew() (bool, error) {
	if r.f == nil {
		return false, nil
	}
	now, err := look(r.f)
	if err != nil {
		return false, err
	}
	if there := inode(r.path); there == 0 || there == now.inode {
		return false, nil
	}
	r.f.Close()
	r.f = nil
	return true, r.locked(func(all []segment) error {
		r.at = 0
		if len(all) > 0 {
			r.at = all[len(all)-1].from
		}
		return nil
	})
}

// Position returns the position at the end of the log that is open as f, and was opened by its path.
func Position(f *os.File) (int64, error) {
	now, err := look(f)
	if err != nil {
		return 0, fmt.Errorf("find the end of log: %w", err)
	}
	s, err := readState(f.Name(), now.inode)
	return s.Cut + now.size - now.base, err
}

// noEOF keeps the end of a file that should have been longer from being taken for the end of the stream.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

package logfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/atomicfile"
	"reconciler.dev/reconciler/internal/failpoint"
)

// Rotate moves what is in the log at path to path.1, less at most a block, where it has more than limit bytes, and keeps as many rotated files as keep says; with 0 what
// is cut off is gone. It says whether it did. A file that isn't there needs no rotation. A rotation that was cut off by a crash is finished first.
//
// The front of the file is cut off with fallocate(2): FALLOC_FL_COLLAPSE_RANGE where the file system has it (ext4, xfs), and else FALLOC_FL_PUNCH_HOLE, which leaves
// a hole that takes no room. Both leave the writer's appending alone.
func Rotate(path string, limit int64, keep int) (rotated bool, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("rotate log: %w", err)
	}
	defer f.Close()
	r := rotation{path: path, f: f, keep: keep}
	if rotated, err = r.rotate(limit); err != nil {
		return false, fmt.Errorf("rotate log %s: %w", path, err)
	}
	return rotated, nil
}

type rotation struct {
	path string
	f    *os.File
	keep int
}

func (r rotation) rotate(limit int64) (bool, error) {
	now, err := look(r.f)
	if err != nil {
		return false, err
	}
	if _, err := os.Lstat(statePath(r.path)); now.size-now.base <= limit && errors.Is(err, fs.ErrNotExist) {
		return false, nil // the common case, without a lock
	}
	if err := lockFile(r.f, true); err != nil {
		return false, err
	}
	defer unlockFile(r.f)
	if now, err = look(r.f); err != nil {
		return false, err
	}
	s, err := readState(r.path, now.inode)
	if err != nil {
		return false, err
	}
	if s.Pending != nil {
		if err := r.finish(&s, now); err != nil {
			return false, err
		}
		if now, err = look(r.f); err != nil {
			return false, err
		}
	}
	n := (now.size - now.base - 1) / now.block * now.block // a range must end before the end of the file
	if now.size-now.base <= limit || n <= 0 {
		return false, nil
	}
	return true, r.cut(&s, now, n)
}

// cut copies n bytes, says so, cuts them off, and gives the copy its name. Wherever that ends early, finish goes on.
func (r rotation) cut(s *state, now facts, n int64) error {
	if r.keep > 0 {
		if err := r.copy(now, n); err != nil {
			return err
		}
	}
	s.Pending = &pending{N: n, Base: now.base, Size: now.size, Copied: r.keep > 0}
	if err := s.write(r.path); err != nil {
		return err
	}
	failpoint.Hit(failpoint.LogCopied)
	if err := r.shorten(now, n); err != nil {
		s.Pending = nil
		return errors.Join(fmt.Errorf("cut off its front: %w", err), s.write(r.path), atomicfile.Remove(pendingPath(r.path), atomicfile.Volatile))
	}
	failpoint.Hit(failpoint.LogCut)
	return r.settle(s)
}

func (r rotation) shorten(now facts, n int64) error {
	if now.base == 0 { // with a hole at its front already, a file goes on that way
		err := unix.Fallocate(int(r.f.Fd()), unix.FALLOC_FL_COLLAPSE_RANGE, 0, n)
		if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EINVAL) {
			return err
		}
	}
	return unix.Fallocate(int(r.f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, now.base+n)
}

// copy writes the n bytes from the base on to the pending file. They are flushed, because they are about to be removed from where they are.
func (r rotation) copy(now facts, n int64) error {
	to, err := os.OpenFile(pendingPath(r.path), os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, now.mode)
	if err != nil {
		return err
	}
	defer to.Close()
	if err := to.Chown(now.uid, now.gid); err != nil {
		return err
	}
	if _, err := io.Copy(to, io.NewSectionReader(r.f, now.base, n)); err != nil {
		return err
	}
	return to.Sync()
}

// finish brings to its end a rotation that was cut off.
func (r rotation) finish(s *state, now facts) error {
	done, err := isCut(r.f, r.path, *s.Pending, now)
	if err != nil {
		return err
	}
	if done {
		return r.settle(s)
	}
	if err := atomicfile.Remove(pendingPath(r.path), atomicfile.Volatile); err != nil {
		return err
	}
	s.Pending = nil
	return s.write(r.path)
}

// settle makes the pending file path.1, after making room, and counts what was cut off.
func (r rotation) settle(s *state) error {
	if _, err := os.Lstat(pendingPath(r.path)); err == nil {
		old := numbered(r.path)
		for i := len(old); i > 0; i-- {
			if i >= r.keep {
				err = atomicfile.Remove(old[i-1], atomicfile.Volatile)
			} else {
				err = os.Rename(old[i-1], r.path+"."+strconv.Itoa(i+1))
			}
			if err != nil {
				return err
			}
		}
		if err := os.Rename(pendingPath(r.path), r.path+".1"); err != nil {
			return err
		}
	}
	failpoint.Hit(failpoint.LogRenamed)
	s.Cut, s.Pending = s.Cut+s.Pending.N, nil
	return s.write(r.path)
}

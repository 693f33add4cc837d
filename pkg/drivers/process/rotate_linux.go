package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/atomicfile"
	"reconciler.dev/reconciler/internal/failpoint"
	"reconciler.dev/reconciler/pkg/spec"
)

// Limits of a log whose spec says nothing.
const (
	defaultMaxSize  = 10 << 20
	defaultMaxFiles = 3
)

// Rotate moves the older part of the file at path to path.1, what was there to path.2, and so on up to path.maxFiles, once it holds more than maxSize bytes. Whoever has the
// file open for appending goes on writing to it meanwhile, and every byte is in exactly one of the files afterwards, in order: path.maxFiles, ..., path.1, path. It is cut
// at a block of the file system, so a line may begin in one file and end in the next.
//
// The part is taken away with fallocate(2): FALLOC_FL_COLLAPSE_RANGE, which shortens the file, on ext4 and XFS; elsewhere FALLOC_FL_PUNCH_HOLE, which gives its disk
// space back and leaves a hole at the beginning that readers skip (lseek(2), SEEK_DATA). A rotation that was cut off is finished by the next one. Two must not run at once.
func Rotate(path string, maxSize int64, maxFiles int) error {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("rotate log: %w", err)
	}
	defer f.Close()
	if err := rotate(f, path, maxSize, maxFiles); err != nil {
		return fmt.Errorf("rotate log %s: %w", path, err)
	}
	return nil
}

func rotate(f *os.File, path string, maxSize int64, maxFiles int) error {
	fi, err := f.Stat()
	if err != nil || !fi.Mode().IsRegular() {
		return err
	}
	old, err := oldPart(f, fi.Size())
	if err != nil || fi.Size()-old.start <= maxSize || old.length() <= 0 {
		return err
	}
	if maxFiles > 0 && !old.copied(f, path+".1") {
		if err := old.copyTo(f, fi, path, maxFiles); err != nil {
			return err
		}
	}
	failpoint.Hit(failpoint.LogCopied)
	return old.cut(f)
}

// part is a piece of a file, whole blocks.
type part struct{ start, end int64 }

func (p part) length() int64 { return p.end - p.start }

// oldPart returns what can be taken away: all whole blocks, less the last byte, behind the hole that the last rotation left.
func oldPart(f *os.File, size int64) (part, error) {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &fs); err != nil {
		return part{}, err
	}
	start, err := unix.Seek(int(f.Fd()), 0, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return part{size, size}, nil // nothing but a hole
	}
	if err != nil {
		return part{}, err
	}
	return part{start, max(0, size-1) / fs.Bsize * fs.Bsize}, nil
}

func (p part) reader(f *os.File) io.Reader { return io.NewSectionReader(f, p.start, p.length()) }

// copied tells whether a rotation was cut off after the copy and before the cut: then the copy is what the part begins with.
func (p part) copied(f *os.File, copyPath string) bool {
	c, err := os.Open(copyPath)
	if err != nil {
		return false
	}
	defer c.Close()
	fi, err := c.Stat()
	if err != nil || fi.Size() == 0 || fi.Size() > p.length() {
		return false
	}
	return equal(c, io.NewSectionReader(f, p.start, fi.Size()))
}

func equal(a, b io.Reader) bool {
	bufA, bufB := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, errA := io.ReadFull(a, bufA)
		m, errB := io.ReadFull(b, bufB)
		if !bytes.Equal(bufA[:n], bufB[:m]) {
			return false
		}
		if errA != nil || errB != nil {
			return errA == errB && (errA == io.EOF || errA == io.ErrUnexpectedEOF)
		}
	}
}

// copyTo copies the part to path.1, after what is there moved on.
func (p part) copyTo(f *os.File, fi os.FileInfo, path string, maxFiles int) error {
	temp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".tmp-rotate")
	t, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, fi.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(t, p.reader(f))
	if st, ok := fi.Sys().(*syscall.Stat_t); err == nil && ok {
		err = t.Chown(int(st.Uid), int(st.Gid))
	}
	if err == nil {
		err = t.Sync() // what is cut off below must not be lost with the power
	}
	err = errors.Join(err, t.Close())
	if err == nil {
		err = shift(path, maxFiles)
	}
	if err == nil {
		err = os.Rename(temp, path+".1")
	}
	if err != nil {
		os.Remove(temp)
	}
	return err
}

// shift makes path.1 free.
func shift(path string, maxFiles int) error {
	nth := func(i int) string { return path + "." + strconv.Itoa(i) }
	last := 0
	for last < maxFiles-1 && exists(nth(last+1)) {
		last++
	}
	for i := last; i >= 1; i-- {
		if err := os.Rename(nth(i), nth(i+1)); err != nil {
			return err
		}
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// cut takes the part out of the file that others are appending to.
func (p part) cut(f *os.File) error {
	fd := int(f.Fd())
	if p.start == 0 {
		err := unix.Fallocate(fd, unix.FALLOC_FL_COLLAPSE_RANGE, 0, p.end)
		if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EINVAL) {
			return err
		}
	}
	return p.punch(fd)
}

func (p part) punch(fd int) error {
	err := unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, p.start, p.length())
	if errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("this file system can't give up a part of a file (%w): put the log on ext4, XFS, Btrfs or tmpfs", err)
	}
	return err
}

// sweepAge is older than any file that is still being written.
const sweepAge = time.Hour

// Housekeep rotates the logs that have grown beyond their limit, and removes what interrupted writes left.
func (d *Driver) Housekeep(ctx context.Context) error {
	names, err := d.store.names()
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		if ctx.Err() != nil {
			return errors.Join(append(errs, ctx.Err())...)
		}
		if rec, err := d.store.read(name); err == nil && rec != nil && rec.Stamp != nil {
			errs = append(errs, d.rotateIfDue(name, &rec.Stamp.Spec))
		}
	}
	errs = append(errs, atomicfile.Sweep(d.dirs.Log, sweepAge))
	return errors.Join(errs...)
}

// rotateIfDue rotates a daemon's log under its lock, unless somebody else has that: then it isn't urgent.
func (d *Driver) rotateIfDue(name string, s *spec.Spec) error {
	path, maxSize, maxFiles := d.logPath(name, s), int64(s.Log.MaxSize), s.Log.MaxFiles
	if maxSize == 0 {
		maxSize = defaultMaxSize
	}
	if maxFiles == 0 {
		maxFiles = defaultMaxFiles
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil || st.Blocks*512 <= maxSize {
		return nil // not there, or not due; a hole takes no blocks
	}
	lock, err := d.tryLock(name)
	if lock == nil {
		return err
	}
	defer lock.Release()
	return Rotate(path, maxSize, maxFiles)
}

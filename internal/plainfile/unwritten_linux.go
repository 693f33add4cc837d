package plainfile

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// longestStray is how long a child that was forked while a file was written may take to be its own program, and so to have closed the file.
const longestStray = time.Second

// recent is how old the last change of a file that somebody writes may be. There are file systems that give leases for no file: NFS, for one.
const recent = time.Minute

// Growing says whether somebody is just writing a file: it is open for that, and changed a moment ago. Where that can't be told it says no.
func Growing(path string) bool {
	f, err := Open(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close() // which gives the lease back
	info, err := f.Stat()
	return err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()).Abs() < recent && written(f)
}

// written says whether anybody has a file open for writing.
func written(f *os.File) bool {
	_, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	return errors.Is(err, unix.EAGAIN)
}

// Unwritten waits until nobody has the file open for writing: not this process any more, but a child of it that was just forked may. To execute it would fail with ETXTBSY until
// then. A read lease is given for no file that is open for writing: see fcntl(2). Where there are no leases it doesn't wait.
func Unwritten(ctx context.Context, path string) error {
	f, err := Open(path, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close() // which gives the lease back
	ctx, cancel := context.WithTimeout(ctx, longestStray)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if !written(f) {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil // whoever executes it is told, and tries again
		case <-tick.C:
		}
	}
}

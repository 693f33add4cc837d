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
		if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK); !errors.Is(err, unix.EAGAIN) {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil // whoever executes it is told, and tries again
		case <-tick.C:
		}
	}
}

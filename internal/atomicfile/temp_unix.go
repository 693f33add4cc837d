//go:build !windows

package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"reconciler.dev/reconciler/internal/plainfile"
)

// mostTemps is how many writes of one path may be under way at once before their files get names of which nobody can tell what became of their writers.
const mostTemps = 64

// tempName is the nth name for a file that is to become base. Writers take the first one that is free, so that the next one finds what a killed one left.
func tempName(dir, base string, n int) string {
	return filepath.Join(dir, "."+base+tempMark+strconv.Itoa(n))
}

// createTemp makes a file beside base, which nobody takes for one that a killed writer left until release is called: it is locked, and the kernel frees the
// lock of a process that died.
func createTemp(dir, base string) (f *os.File, release func(), err error) {
	for n := range mostTemps {
		name := tempName(dir, base, n)
		f, err := plainfile.Open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) && discard(name) {
			f, err = plainfile.Open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		}
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		lock, err := hold(f)
		if err == nil && is(f, name) {
			return f, func() { unix.Close(lock) }, nil
		}
		if err == nil { // somebody took it for left behind in the instant before it was locked
			unix.Close(lock)
		}
		f.Close()
	}
	f, err = os.CreateTemp(dir, "."+base+tempMark)
	return f, func() {}, err
}

// hold locks f until the descriptor that it returns is closed, also after f was closed: flock(2).
func hold(f *os.File) (lock int, err error) {
	lock, err = unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	// A file system without locks makes no difference to us: those who look can't lock it either, and leave it.
	if err := unix.Flock(lock, unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		unix.Close(lock)
		return -1, err
	}
	return lock, nil
}

// is tells whether f is the file of that name.
func is(f *os.File, name string) bool {
	have, err := f.Stat()
	if err != nil {
		return false
	}
	want, err := os.Lstat(name)
	return err == nil && os.SameFile(have, want)
}

// discard removes the file of that name where its writer has died. It says whether the name is free now.
func discard(name string) bool {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	defer f.Close()
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil || !is(f, name) {
		return false
	}
	return os.Remove(name) == nil
}

// discardTemps removes what killed writers of base left.
func discardTemps(dir, base string) {
	for n := range mostTemps {
		name := tempName(dir, base, n)
		if _, err := os.Lstat(name); err != nil {
			return
		}
		discard(name)
	}
}

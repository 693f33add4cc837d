//go:build unix

package logfile

import (
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

func look(f *os.File) (facts, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return facts{}, &fs.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	return facts{
		inode: uint64(st.Ino), size: st.Size, base: dataStart(f, st.Size), block: max(int64(st.Blksize), 512),
		mode: fs.FileMode(st.Mode & 0o777), uid: int(st.Uid), gid: int(st.Gid),
	}, nil
}

// inode is the number of the file at path, 0 where there is none.
func inode(path string) uint64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return uint64(info.Sys().(*syscall.Stat_t).Ino)
}

// lockFile takes the lock that keeps rotation and reading apart: see flock(2). Its holders let go of it within one read, or one copy of what is rotated.
func lockFile(f *os.File, exclusive bool) error {
	how := unix.LOCK_SH
	if exclusive {
		how = unix.LOCK_EX
	}
	for {
		err := unix.Flock(int(f.Fd()), how)
		if err == nil {
			return nil
		}
		if err != unix.EINTR {
			return &fs.PathError{Op: "lock", Path: f.Name(), Err: err}
		}
	}
}

// unlockFile can't fail: the lock is there.
func unlockFile(f *os.File) { unix.Flock(int(f.Fd()), unix.LOCK_UN) }

package logfile

import "os"

func look(f *os.File) (facts, error) {
	info, err := f.Stat()
	if err != nil {
		return facts{}, err
	}
	return facts{inode: 1, size: info.Size(), block: 4096, mode: info.Mode().Perm(), uid: -1, gid: -1}, nil
}

// inode is 1 where there is a file: nothing is rotated on this system, so one file is as good as another.
func inode(path string) uint64 {
	if _, err := os.Stat(path); err != nil {
		return 0
	}
	return 1
}

func lockFile(*os.File, bool) error { return nil }

func unlockFile(*os.File) {}

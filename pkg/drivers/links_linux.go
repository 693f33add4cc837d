package drivers

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// turnedSince says whether a symbolic link on the way to a program was made to lead elsewhere since its process was started, as with a "current" that deployments turn. It says no of scripts:
// what they run is never the file that they are.
func turnedSince(path string, started time.Time) bool {
	if started.IsZero() || beginsAsScript(path) {
		return false
	}
	now := time.Now()
	for at := path; at != filepath.Dir(at); at = filepath.Dir(at) {
		info, err := os.Lstat(at)
		if err != nil {
			return false
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok || info.Mode()&fs.ModeSymlink == 0 {
			continue
		}
		if turned := time.Unix(st.Ctim.Unix()); turned.After(started.Add(-coarse)) && !turned.After(now) {
			return true
		}
	}
	return false
}

// coarse is by how much the clock of file systems may lag behind the one that says when a process was started.
const coarse = 20 * time.Millisecond

// beginsAsScript says whether a file begins as scripts do, or can't be read.
func beginsAsScript(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return true
	}
	defer f.Close()
	head := make([]byte, 2)
	n, _ := f.Read(head)
	return bytes.Equal(head[:n], []byte("#!"))
}

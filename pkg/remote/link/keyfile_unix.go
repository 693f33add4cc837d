//go:build !windows

package link

import (
	"io/fs"
	"os"
	"syscall"
)

// exposed tells of a file of ours whether others may read it.
func exposed(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Getuid() && info.Mode().Perm()&0o077 != 0
}

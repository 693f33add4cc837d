package bootstrap

import (
	"fmt"
	"io/fs"
	"syscall"
)

// inode tells files apart that have one size and one time, as unpacked archives may. The time of change is the kernel's own: see inode(7).
func inode(fi fs.FileInfo) string {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return fmt.Sprintf("%d-%d-%d.%d", st.Dev, st.Ino, st.Ctim.Sec, st.Ctim.Nsec)
	}
	return ""
}
